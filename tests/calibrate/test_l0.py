"""Gates are those of the authors' program, and pruning takes away what is off and nothing else."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from calibrate.architectures import architecture
from calibrate.training import hard_concrete as hc
from calibrate.training.algorithms import algorithm
from calibrate.training.parametrisation import Tensor
from calibrate.training.problem import network_problem
from calibrate.training.pruning import (
    THRESHOLDS,
    GateCounts,
    bucketed,
    chain_cuts,
    compact,
    compact_state,
    margin,
    pays,
    prune,
)
from calibrate.training.step import TrainingRun
from speedup.errors import UnitError, UnknownNameError

SIZES = (784, 300, 100, 10)


def chain(sizes=SIZES, seed=0):
    """Return the tensors of a chain of dense layers."""
    rng = np.random.default_rng(seed)
    found = []
    for number, (rows, columns) in enumerate(pairwise(sizes)):
        found.append(Tensor((f"{number}", "kernel"), jnp.asarray(rng.normal(size=(rows, columns)), jnp.float32)))
        found.append(Tensor((f"{number}", "bias"), jnp.asarray(rng.normal(size=columns), jnp.float32)))
    return found


def test_the_identities_of_the_distribution_hold():
    assert pytest.approx(-1.5986, abs=5e-5) == hc.SHIFT
    assert pytest.approx(-2.3979, abs=5e-5) == hc.TEST_GATE_OFF
    assert pytest.approx(0.31018, abs=5e-6) == hc.TAU
    assert float(hc.test_gate(hc.TEST_GATE_OFF - 1e-4)) == 0 < float(hc.test_gate(hc.TEST_GATE_OFF + 1e-2))


def test_gates_are_above_zero_as_often_as_the_formula_says():
    for log_alpha in (-2.5, -1.0, 0.0, 2.0):
        noise = hc.uniform_noise(jax.random.key(1), (200_000,))
        frequency = float((hc.draw(jnp.full(200_000, log_alpha), noise) > 0).mean())
        assert frequency == pytest.approx(float(hc.active_probability(log_alpha)), abs=4e-3)


def test_the_gradient_of_a_gate_is_that_of_finite_differences():
    noise, log_alpha, step = jnp.array([0.2, 0.5, 0.7, 1e-5, 0.99999]), jnp.array([0.3, -0.2, 0.1, 0.0, 0.0]), 1e-2
    slopes = jax.vmap(jax.grad(hc.draw))(log_alpha, noise)
    expected = (hc.draw(log_alpha + step, noise) - hc.draw(log_alpha - step, noise)) / (2 * step)
    np.testing.assert_allclose(slopes, expected, atol=1e-4)
    s = jax.nn.sigmoid((jnp.log(noise) - jnp.log1p(-noise) + log_alpha) / hc.BETA)
    inside = (hc.ZETA - hc.GAMMA) * s * (1 - s) / hc.BETA
    np.testing.assert_allclose(slopes[:3], inside[:3], rtol=1e-5)
    assert slopes[3:].tolist() == [0.0, 0.0]


def test_784_300_100_10_starts_with_the_printed_number_of_active_weights():
    start = hc.HardConcrete().start(chain(), jax.random.key(0))
    gates = [one[1] for one in start.trained if len(one) == 2]
    assert sum(gate.size for gate in gates) == 1184
    assert float(hc.expected_l0(start.trained)) == pytest.approx(249_670, rel=2e-3)
    assert sum(one[0].size for one in start.trained if len(one) == 2) == 266_200


def test_a_gate_stands_for_an_input_of_a_dense_kernel_and_for_a_map_of_a_convolution():
    assert hc.gated_units((784, 300)) == 784
    assert hc.gated_units((5, 5, 20, 50)) == 50
    kernel = jnp.ones((2, 2, 3, 4))
    assert hc.apply_gates(kernel, jnp.array([0.0, 1, 1, 1])).sum(axis=(0, 1, 2)).tolist() == [0, 12, 12, 12]


def test_gates_travel_after_their_kernels():
    run = TrainingRun(network_problem(architecture("nardini_mlp")), algorithm("l0"))
    assert run.tensor_elements == (235_200, 784, 300, 30_000, 300, 100, 1000, 100, 10)


def test_each_step_draws_other_gates_and_a_seed_decides_them():
    choice = hc.HardConcrete()

    def kernels(seed, steps):
        now = choice.start(chain((6, 5, 4)), jax.random.key(seed))
        for _ in range(steps):
            weights, carried = choice.weights(now)
            now = now._replace(carried=carried)
        return np.asarray(weights[0])

    np.testing.assert_array_equal(kernels(1, 2), kernels(1, 2))
    assert not np.array_equal(kernels(1, 1), kernels(1, 2))
    assert not np.array_equal(kernels(1, 1), kernels(2, 1))


def test_gates_parameters_are_clamped_after_an_update():
    (_, low), (bias,) = hc.HardConcrete().project([(jnp.ones((2, 2)), jnp.array([-99.0, 99.0])), (jnp.full(2, 99.0),)])
    assert low.tolist() == pytest.approx([np.log(0.01), np.log(100)])
    assert bias.tolist() == [99.0, 99.0]


def test_the_penalty_is_the_expected_number_of_active_weights():
    choice = hc.HardConcrete(strength=0.5, hard=True)
    now = choice.start([Tensor(("kernel",), jnp.ones((3, 10)))], jax.random.key(0))
    now = now._replace(trained=[(jnp.ones((3, 10)), jnp.array([0.0, 1.0, -1.0]))])
    shares = [1 / (1 + np.exp(-(one - hc.SHIFT))) for one in (0.0, 1.0, -1.0)]
    assert float(choice.penalty(now)) == pytest.approx(5 * sum(shares), rel=1e-6)
    off = now.carried._replace(units=[now.carried.units[0]._replace(kept=jnp.array([1.0, 0.0, 1.0]))])
    assert float(choice.penalty(now._replace(carried=off))) == pytest.approx(5 * (shares[0] + shares[2]), rel=1e-6)


def test_a_unit_that_is_off_stays_off_and_the_others_are_counted():
    choice = hc.HardConcrete(hard=True)
    now = choice.start([Tensor(("kernel",), jnp.ones((4, 3)))], jax.random.key(0))
    unit = now.carried.units[0]._replace(kept=jnp.array([1.0, 0.0, 1.0, 1.0]))
    now = now._replace(carried=now.carried._replace(units=[unit]))
    for _ in range(200):
        (kernel,), carried = choice.weights(now)
        assert not kernel[1].any()
        now = now._replace(carried=carried)
    counts = GateCounts(np.asarray(carried.units[0].active), int(carried.step))
    expected = np.asarray(hc.active_probability(now.trained[0][1]))
    assert counts.probability[1] == 0
    np.testing.assert_allclose(counts.probability[[0, 2, 3]], expected[[0, 2, 3]], atol=0.1)


def test_the_margin_at_600_draws_is_the_printed_one():
    assert margin(600) == pytest.approx(0.076, abs=5e-4)


def test_pruning_never_brings_a_unit_back_and_never_takes_the_last():
    counts = GateCounts(np.array([0, 0, 1000]), 1000)
    assert prune(np.array([True, True, False]), counts).tolist() == [True, False, False]
    assert prune(np.array([False, True, True]), counts).tolist() == [False, False, True]


def test_the_test_gate_rule_keeps_what_the_test_network_uses_and_map_does_not():
    counts = GateCounts(np.array([400_000, 600_000]), 1_000_000)
    assert prune(np.array([True, True]), counts).tolist() == [True, True]
    assert prune(np.array([True, True]), counts, rule="map").tolist() == [False, True]
    assert {"test-gate", "map"} == set(THRESHOLDS)


def test_a_unit_at_the_threshold_is_rarely_lost():
    rng, lost = np.random.default_rng(0), 0
    for _ in range(2000):
        counts = GateCounts(np.array([rng.binomial(600, hc.TAU), 600]), 600)
        lost += not prune(np.array([True, True]), counts)[0]
    assert lost <= 8  # 2 expected at delta = 1e-3


def test_counts_of_workers_are_joined_by_adding():
    one, two = GateCounts(np.array([1, 2]), 4), GateCounts(np.array([3, 0]), 6)
    joined = one.joined(two)
    assert (joined.active.tolist(), joined.draws) == ([4, 2], 10)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (lambda: GateCounts.none(2).probability, UnitError),
        (lambda: prune(np.ones(1, bool), GateCounts(np.array([1]), 2), rule="mean"), UnknownNameError),
        (lambda: margin(10, 0.0), UnitError),
        (lambda: hc.HardConcrete(drop=1.0), UnitError),
        (lambda: hc.HardConcrete(strength=-1.0), UnitError),
        (lambda: chain_cuts([(jnp.ones((2, 2, 2, 2)), jnp.ones(2)), (jnp.ones(2),)], [np.ones(2, bool)]), UnitError),
        (lambda: compact([(jnp.ones((2, 2)), jnp.ones(2)), (jnp.ones(2),)], [np.zeros(2, bool)]), UnitError),
    ],
)
def test_what_makes_no_sense_is_refused(bad, error):
    with pytest.raises(error):
        bad()


def test_buckets_put_the_likeliest_back():
    kept, probability = np.array([True, True, True, False, False, False]), np.array([1, 1, 1, 0.2, 0.3, 0.1])
    assert bucketed(kept, probability, bucket=4).tolist() == [True, True, True, False, True, False]
    assert bucketed(kept, probability, bucket=8).all()


def test_shrinking_pays_when_it_saves_more_than_compiling():
    assert pays(0.01, 1001, 10.0)
    assert not pays(0.01, 999, 10.0)


def forward(trained, gates, x):
    """Return the output of a chain with gates on its inputs."""
    kernels, biases = trained[::2], trained[1::2]
    for number, ((kernel, _), (bias,), gate) in enumerate(zip(kernels, biases, gates, strict=True)):
        x = x @ (kernel * gate[:, None]) + bias
        x = jax.nn.relu(x) if number < len(kernels) - 1 else x
    return x


def test_the_masked_and_the_compacted_network_compute_the_same():
    rng = np.random.default_rng(3)
    start = hc.HardConcrete().start(chain((20, 12, 8, 3)), jax.random.key(0))
    masks = [rng.random(size) < 0.6 for size in (20, 12, 8)]
    gates = [hc.test_gate(one[1]) for one in start.trained[::2]]
    x = jnp.asarray(rng.normal(size=(5, 20)), jnp.float32)
    whole = forward(start.trained, [gate * mask for gate, mask in zip(gates, masks, strict=True)], x)
    smaller, features = compact(start.trained, masks)
    left = forward(smaller, [hc.test_gate(one[1]) for one in smaller[::2]], x[:, features])
    np.testing.assert_allclose(left, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("units", "parameters"), [((219, 214, 100), 69_590), ((266, 88, 33), 26_773)])
def test_the_published_pruned_networks_have_the_printed_sizes(units, parameters):
    start = hc.HardConcrete().start(chain(), jax.random.key(0))
    masks = [np.arange(size) < left for size, left in zip(SIZES, units, strict=False)]
    smaller, features = compact(start.trained, masks)
    assert sum(array.size for array in jax.tree.leaves(smaller)) - sum(units) == parameters
    assert features.size == units[0]


def test_the_optimizers_moments_shrink_with_the_weights_and_go_on_the_same():
    rng = np.random.default_rng(5)
    start = hc.HardConcrete().start(chain((6, 5, 4, 2)), jax.random.key(0))
    masks = [np.array([1, 1, 0, 1, 0, 1], bool), np.array([1, 0, 1, 1, 1], bool), np.array([0, 1, 1, 1], bool)]
    optimizer = optax.adam(1e-2)
    state = optimizer.init(start.trained)
    gradient = jax.tree.map(lambda one: jnp.asarray(rng.normal(size=one.shape), jnp.float32), start.trained)
    _, state = optimizer.update(gradient, state, start.trained)
    smaller_state = compact_state(optimizer, state, start.trained, masks)
    updates, _ = optimizer.update(gradient, state, start.trained)
    (smaller_gradient, _), (wanted, _) = compact(gradient, masks), compact(updates, masks)
    found, _ = optimizer.update(smaller_gradient, smaller_state, compact(start.trained, masks)[0])
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
