"""Each optimizer is the recursion of its source, written out here."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from calibrate.training import optimizers
from calibrate.training.algorithms import ALGORITHMS, algorithm
from speedup.errors import UnitError

RATE, STEPS, BETA = 0.01, 25, 0.9


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


def quadratic(w):
    return jnp.sum(jnp.array([1.0, 10.0, 0.1]) * w**2) / 2 + jnp.sum(w)


def rosenbrock(w):
    return jnp.sum(100 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2) / 200


LOSSES = {"quadratic": quadratic, "rosenbrock": rosenbrock}
START = np.array([0.5, -1.5, 0.8])


def ours(optimizer, loss, steps=STEPS):
    """Return the iterates, the first one included, and the last state."""
    optimizer = optax.with_extra_args_support(optimizer)
    w, iterates = jnp.asarray(START), [START]
    state = optimizer.init(w)
    for _ in range(steps):
        value, gradient = jax.value_and_grad(loss)(w)
        updates, state = optimizer.update(gradient, state, w, value=value)
        w = optax.apply_updates(w, updates)
        iterates.append(np.asarray(w))
    return iterates, state


def theirs(rule, loss, steps=STEPS):
    """Return the iterates of a recursion ``rule(w, g, memory, t) -> w`` that keeps what it needs in a dictionary."""
    w, memory, iterates = START.copy(), {}, [START]
    for t in range(1, steps + 1):
        w = rule(w, np.asarray(jax.grad(loss)(jnp.asarray(w))), memory, t)
        iterates.append(w)
    return iterates


def descent(w, g, _, __):
    return w - RATE * g


def momentum(w, g, memory, _):
    memory["v"] = BETA * memory.get("v", 0.0) + RATE * g
    return w - memory["v"]


def adagrad(w, g, memory, _):
    memory["sum"] = memory.get("sum", 0.0) + g**2
    return w - RATE * g / np.sqrt(memory["sum"] + 1e-7)


def rmsprop(w, g, memory, _):
    memory["mean"] = 0.9 * memory.get("mean", 0.0) + 0.1 * g**2
    return w - RATE * g / np.sqrt(memory["mean"] + 1e-8)


def adadelta(w, g, memory, _):
    memory["g"] = 0.9 * memory.get("g", 0.0) + 0.1 * g**2
    change = -np.sqrt(memory.get("d", 0.0) + 1e-6) / np.sqrt(memory["g"] + 1e-6) * g
    memory["d"] = 0.9 * memory.get("d", 0.0) + 0.1 * change**2
    return w + change


def adam(kind):
    def rule(w, g, memory, t):
        memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
        memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * g**2
        m, v = memory["m"] / (1 - 0.9**t), memory["v"] / (1 - 0.999**t)
        if kind == "published":
            return w - RATE * m / (np.sqrt(v) + 1e-8)
        if kind == "under the root":
            return w - RATE * m / np.sqrt(v + 1e-3)
        hat = RATE * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return w - hat * memory["m"] / (np.sqrt(memory["v"]) + 1e-3)

    return rule


RULES = {
    "descent": (optax.sgd(RATE), descent),
    "momentum": (optimizers.momentum(RATE), momentum),
    "adagrad": (optimizers.adagrad(RATE), adagrad),
    "rmsprop": (optimizers.rmsprop(RATE), rmsprop),
    "adadelta": (optimizers.adadelta(), adadelta),
    "adam": (optimizers.adam(RATE), adam("published")),
    "adam, epsilon under the root": (optimizers.adam_eps_root(RATE, 1e-3), adam("under the root")),
    "adam, epsilon before the correction": (optimizers.adam_hat(RATE, 1e-3), adam("hat")),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", RULES)
def test_the_iterates_are_those_of_the_source(name, loss):
    optimizer, rule = RULES[name]
    found, _ = ours(optimizer, LOSSES[loss])
    np.testing.assert_allclose(found, theirs(rule, LOSSES[loss]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_nesterovs_iterates_are_the_points_looked_ahead_to(loss):
    theta, v, points = START.copy(), np.zeros(3), [START]
    for _ in range(STEPS):
        g = np.asarray(jax.grad(LOSSES[loss])(jnp.asarray(theta - BETA * v)))
        v = BETA * v + RATE * g
        theta = theta - v
        points.append(theta - BETA * v)
    found, _ = ours(optimizers.nesterov(RATE), LOSSES[loss])
    np.testing.assert_allclose(found, points, rtol=1e-9, atol=1e-12)


def flat(w):
    return 1e-6 * jnp.sum(w**2) + 5.0


@pytest.mark.parametrize("loss", [*LOSSES.values(), flat])
def test_adaptive_nesterov_is_the_printed_algorithm_with_both_clips(loss):
    theta, v, points = START.copy(), np.zeros(3), [START]
    for _ in range(STEPS):
        p = jnp.asarray(theta - BETA * v)
        value, g = float(loss(p)), np.asarray(jax.grad(loss)(p))
        rate = np.clip(abs(value) / np.clip(np.sum(g**2), 1e-4, 1e10), 1e-3, 0.1)
        v = BETA * v + rate * g
        theta = theta - v
        points.append(theta - BETA * v)
    found, state = ours(optimizers.adaptive_nesterov(), loss)
    np.testing.assert_allclose(found, points, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        found[-1] + BETA * np.asarray(optax.tree_utils.tree_get(state, "trace")), theta, rtol=1e-9
    )


def test_the_norm_of_adaptive_nesterov_is_taken_over_all_tensors_together():
    scale = optimizers.scale_by_clipped_polyak()
    parts = {"a": jnp.array([3.0]), "b": jnp.array([[4.0, 12.0]])}
    updates, _ = scale.update(parts, scale.init(parts), value=jnp.array(-1.69))
    assert float(updates["b"][0, 1]) == pytest.approx(0.01 * 12)


def test_after_a_drop_of_the_rate_the_old_velocity_stays():
    drop = optax.piecewise_constant_schedule(RATE, {5: 0.1})
    found, _ = ours(optimizers.momentum(drop), quadratic, 12)
    v, w, points = np.zeros(3), START.copy(), [START]
    for t in range(12):
        v = BETA * v + float(drop(t)) * np.asarray(jax.grad(quadratic)(jnp.asarray(w)))
        w = w - v
        points.append(w)
    np.testing.assert_allclose(found, points, rtol=1e-9)
    outside, _ = ours(optax.sgd(drop, momentum=BETA), quadratic, 12)
    assert np.abs(np.asarray(outside[-1]) - w).max() > 1e-4


@pytest.mark.parametrize("name", RULES)
def test_every_optimizer_goes_down(name):
    values = [float(quadratic(jnp.asarray(w))) for w in ours(RULES[name][0], quadratic, 200)[0]]
    assert values[-1] < values[0]


VELOCITIES = [name for name, one in ALGORITHMS.items() if one.velocity is not None]


def test_all_algorithms_with_a_velocity_have_it_to_choose():
    assert VELOCITIES == ["momentum", "nesterov", "adaptive_nesterov", "clr", "persistency"]


@pytest.mark.parametrize("name", VELOCITIES)
def test_the_usual_velocity_is_0_9_and_another_one_is_another_training(name):
    usual, same, other = (
        ours(how.at_rate(RATE).optimizer, quadratic)[0]
        for how in (algorithm(name), algorithm(name).at_momentum(0.9), algorithm(name).at_momentum(0.5))
    )
    np.testing.assert_array_equal(usual, same)
    assert not np.allclose(usual[-1], other[-1])


def test_momentum_of_0_5_is_the_printed_recursion():
    def half(w, g, memory, _):
        memory["v"] = 0.5 * memory.get("v", 0.0) + RATE * g
        return w - memory["v"]

    found, _ = ours(algorithm("momentum").at_momentum(0.5).at_rate(RATE).optimizer, rosenbrock)
    np.testing.assert_allclose(found, theirs(half, rosenbrock), rtol=1e-10)


@pytest.mark.parametrize(
    ("name", "momentum", "message"), [("adam", 0.5, "adam has no velocity"), ("momentum", 1.0, "below 1")]
)
def test_a_velocity_that_cannot_be_is_refused(name, momentum, message):
    with pytest.raises(UnitError, match=message):
        algorithm(name).at_momentum(momentum)
