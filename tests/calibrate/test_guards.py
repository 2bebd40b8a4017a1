"""A step that compiles while it is timed, or gives its arguments away, is refused with what to do."""

import sys
import types

import jax
import jax.numpy as jnp
import pytest

import calibrate
from calibrate.timing.guards import DonatedArgumentsError, RecompilationError
from calibrate.timing.unfinished import wait_for_arrays

QUICK = {"min_time_s": 0.0, "max_time_s": 0.4}
X = jnp.ones((20, 20))


def test_a_step_that_jits_anew_in_every_call_is_refused():
    with pytest.raises(RecompilationError, match=r"made JAX compile \d+ times while it was timed \(.*s of compiling"):
        calibrate.measure(lambda: jax.jit(lambda x: x @ x)(X), **QUICK)


def test_a_step_whose_shapes_change_is_refused():
    function, calls = jax.jit(lambda x: x * 2), []

    def step():
        calls.append(0)
        return function(jnp.zeros(len(calls)))

    with pytest.raises(RecompilationError, match="same shapes and types"):
        calibrate.measure(step, **QUICK)


def test_compiling_in_the_first_call_is_reported_apart():
    function = jax.jit(lambda x: jnp.tanh(x @ x) @ x + 3)
    result = calibrate.measure(function, X, **QUICK)
    assert result.first_s > 10 * max(result.samples_s)


def test_a_step_that_compiles_in_its_first_calls_only_is_timed():
    function, calls = jax.jit(lambda x: x - 1), []

    def step():
        calls.append(0)
        return function(jnp.zeros(min(len(calls), 3)))

    assert calibrate.measure(step, **QUICK).median_s < 0.01


def test_the_counting_ends_with_the_measurement():
    before = len(jax._src.monitoring.get_event_duration_listeners())
    calibrate.measure(lambda: X + 1, **QUICK)
    with pytest.raises(ZeroDivisionError):
        calibrate.measure(lambda: 1 / 0)
    assert len(jax._src.monitoring.get_event_duration_listeners()) == before


@pytest.mark.parametrize("compiled_before", [True, False])
def test_donated_arguments_used_again_are_refused_with_what_to_write(compiled_before):
    function, given = jax.jit(lambda x: x + 1, donate_argnums=0), jnp.ones(5)
    if compiled_before:
        function = function.lower(given).compile()
    with pytest.raises(DonatedArgumentsError, match="hand it to the next call") as caught:
        calibrate.measure(function, given, **QUICK)
    assert "deleted" in str(caught.value.__cause__)


def test_a_deleted_array_used_outside_jit_is_the_same_error():
    function, given = jax.jit(lambda x: x + 1, donate_argnums=0), jnp.ones(5)
    with pytest.raises(DonatedArgumentsError):
        calibrate.measure(lambda: function(given * 1 if given.is_deleted() else given), **QUICK)


def test_donated_arguments_handed_on_are_timed():
    function, state = jax.jit(lambda x: x + 1, donate_argnums=0), [jnp.ones(5)]

    def step():
        state[0] = function(state[0])
        return state[0]

    assert calibrate.measure(step, **QUICK).median_s > 0


def test_an_array_deleted_before_the_first_call_is_the_callers_error():
    given = jnp.ones(5)
    given.delete()
    with pytest.raises(RuntimeError, match="has been deleted"):
        calibrate.measure(lambda: given + 1, **QUICK)


@pytest.mark.parametrize("cuda", [True, False])
def test_pytorch_is_synchronised_where_it_is_loaded_and_has_cuda(monkeypatch, cuda):
    torch, synchronised = types.ModuleType("torch"), []
    torch.cuda = types.SimpleNamespace(is_available=lambda: cuda, synchronize=lambda: synchronised.append(1))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert wait_for_arrays("anything") == "anything"
    assert synchronised == [1] * cuda
    result = calibrate.measure(lambda: None, **QUICK)
    assert (len(synchronised) > result.warmup) is cuda
