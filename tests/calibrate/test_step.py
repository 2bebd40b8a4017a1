"""The step that is timed is a step of training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from calibrate.architectures import Architecture, Network, architecture
from calibrate.architectures.layers import ConvNorm
from calibrate.training.algorithms import ALGORITHMS, Algorithm, algorithm, algorithm_names, describe_algorithms
from calibrate.training.problem import first_values, network_problem
from calibrate.training.step import TrainingRun
from speedup.errors import UnknownNameError


class Small(Network):
    """A convolution, batch normalisation, dropout and a classifier: all kinds of state in one."""

    def __init__(self, rngs, classes):
        self.stem = ConvNorm(3, 4, 3, 2, rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.output = nnx.Linear(4, classes, rngs=rngs)

    def layers(self):
        yield from (*self.stem.layers(), self.output)

    def __call__(self, inputs):
        return self.output(self.dropout(nnx.relu(self.stem(inputs)).mean(axis=(1, 2))))


SMALL = Architecture("small", Small, (8, 8, 3), 4, 3, "small")
# Numbers that the optimizer keeps beside each trained one.
COPIES = {
    "gradient_descent": 0,
    "sgd": 0,
    "minibatch": 0,
    "momentum": 1,
    "nesterov": 1,
    "adaptive_nesterov": 1,
    "clr": 1,
    "persistency": 1,
    "adagrad": 1,
    "rmsprop": 1,
    "adadelta": 2,
    "adam": 2,
    "adam_eps_root": 2,
    "adam_hat": 2,
    "adamw": 2,
    "edge_popup": 1,
    "viviano": 1,
    "l0": 2,
    "l0_hard": 2,
}


def run_of(entry, method="sgd", **options):
    chosen = ALGORITHMS[method] if isinstance(method, str) else method
    return TrainingRun(network_problem(entry, **options), chosen)


def with_rate(rate):
    return Algorithm("test", "", "", optax.sgd(rate))


def losses(step, count):
    return [float(step()) for _ in range(count)]


def test_the_loss_goes_down_on_a_batch_seen_again_and_again():
    series = losses(run_of(architecture("nardini_mlp"), with_rate(0.1)).step(16), 20)
    assert series[-1] < 0.5 * series[0]


def test_weights_statistics_and_dropout_counter_move_from_step_to_step():
    run = run_of(SMALL, with_rate(0.1))
    step, before = run.step(4), run.unflattened(run.state)
    losses(step, 3)
    after = run.unflattened(run.state)
    assert all(float(abs(new - old).max()) > 0 for new, old in zip(after.trained, before.trained, strict=True))
    assert abs(after.rest["stem"]["norm"]["mean"].get_value() - before.rest["stem"]["norm"]["mean"].get_value()).max()
    counts = [state.rest["dropout"]["rngs"]["count"].get_value() for state in (before, after)]
    assert counts[1] == counts[0] + 3


def test_a_step_is_the_gradient_step_of_the_mean_loss():
    entry = architecture("nardini_mlp")
    run = run_of(entry, with_rate(0.5))
    problem = network_problem(entry)
    weights, rest = first_values(problem)
    batch = problem.make_batch(8)
    expected, gradient = jax.value_and_grad(lambda weights: problem.loss(weights, rest, batch)[0])(weights)
    loss = run.step(8)()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    old, slopes = jax.tree.leaves(weights), jax.tree.leaves(gradient)
    for leaf, new in zip(problem.order, run.unflattened(run.state).trained, strict=True):
        np.testing.assert_allclose(new, old[leaf] - 0.5 * slopes[leaf], rtol=1e-4, atol=1e-6)


def test_steps_of_several_batch_sizes_share_one_state():
    run = run_of(SMALL, with_rate(0.1))
    four, eight = run.step(4), run.step(8)
    four()
    once = run.state
    eight()
    assert run.state is not once
    assert (four.batch, eight.batch) == (4, 8)


def test_nothing_is_allocated_before_the_first_call():
    # A batch of this size would need terabytes.
    step = run_of(architecture("nardini_mlp")).step(10**9)
    assert step.needed_bytes > 3e12
    assert step.activations_bytes > 1e12


def test_the_executable_refuses_another_batch_instead_of_compiling_again():
    run = run_of(SMALL)
    step = run.step(4)
    step._batch = run.make_batch(5)
    with pytest.raises(TypeError, match="compiled"):
        step()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_numbers_stay_finite_and_move_under_every_algorithm(name):
    run = run_of(SMALL, name)
    step = run.step(4)
    before = run.unflattened(run.state).trained
    for _ in range(500):
        loss = step()
    step.wait(loss)
    assert np.isfinite(float(loss))
    assert all(np.isfinite(leaf).all() for leaf in run.state if jnp.issubdtype(leaf.dtype, jnp.floating))
    after = run.unflattened(run.state).trained
    moved = [
        float(abs(new - old).max()) > 0
        for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True)
    ]
    assert all(moved)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_optimizers_state_is_as_many_copies_as_printed(name):
    run = run_of(architecture("nardini_mlp"), name)
    counters = 64
    copies = COPIES[name] * 4 * sum(run.tensor_elements)
    assert copies <= run.optimizer_state_bytes <= copies + counters
    assert run.gradients_bytes == 4 * sum(run.tensor_elements)


def test_every_algorithm_is_listed_with_a_source():
    rows = describe_algorithms()
    assert [row["name"] for row in rows] == list(algorithm_names()) == list(COPIES)
    assert all(row["source"] and row["summary"] for row in rows)


def test_what_edge_popup_sends_are_scores_of_kernels_alone():
    run = run_of(architecture("resnet34"), "edge_popup")
    assert 4 * sum(run.tensor_elements) == 87_118_592
    assert run.weights_bytes > 2 * 87_118_592


def test_frozen_weights_are_not_handed_on():
    run = run_of(architecture("nardini_mlp"), "edge_popup")
    run.step(2)()
    assert sum(leaf.size for leaf in run.state) < 3 * 266_200
    assert sum(leaf.size for leaf in run.frozen) == 266_610


def test_persistency_loads_the_batch_on_every_kth_call():
    run = run_of(SMALL, "persistency")
    step = run.step(4)
    batches = []
    for _ in range(11):
        step()
        batches.append(id(step._batch[0]))
    assert [batches.count(one) for one in dict.fromkeys(batches)] == [5, 5, 1]


def test_the_parts_compute_loss_and_gradient_and_hand_nothing_on():
    run = run_of(SMALL)
    step = run.step(4)
    forward, gradient = step.forward(), step.gradient()
    state = run.state
    loss = forward()
    value, slopes = gradient()
    forward.wait(loss)
    gradient.wait((value, slopes))
    assert run.state is state
    assert float(loss) == pytest.approx(float(value), rel=1e-6) == pytest.approx(float(step()), rel=1e-6)
    assert [slope.size for slope in jax.tree.leaves(slopes)] == list(run.tensor_elements)


def test_the_compilers_count_of_operations_is_near_that_of_the_trace():
    entry = architecture("nardini_mlp")
    step = run_of(entry).step(64)
    assert step.flops == pytest.approx(3 * 64 * 2 * 266_200 - 64 * 2 * 235_200, rel=0.1)
    assert step.bytes_accessed > 2 * 4 * 266_610


def test_a_seed_decides_weights_and_batch():
    def first(seed):
        return float(TrainingRun(network_problem(SMALL, seed=seed), algorithm("sgd"), seed=seed).step(4)())

    assert first(1) == first(1) != first(2)


def test_an_unknown_algorithm_is_refused_with_the_nearest_one():
    with pytest.raises(UnknownNameError, match=r'unknown algorithm "adma"\. Did you mean "adam"'):
        algorithm("adma")
