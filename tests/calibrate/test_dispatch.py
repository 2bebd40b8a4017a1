"""What Python and the way to the device cost beside a step, without a step."""

import time

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from calibrate.timing.dispatch import Dispatch, dispatch_time
from calibrate.timing.inputs import input_time

pytestmark = pytest.mark.device


class Tower(nnx.Module):
    """Many small layers, with statistics and random numbers."""

    def __init__(self, layers, *, rngs):
        self.layers = nnx.List([nnx.Linear(8, 8, rngs=rngs) for _ in range(layers)])
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


def test_objects_cost_more_than_flat_arrays_and_many_more_than_few():
    few, many = (dispatch_time(Tower(layers, rngs=nnx.Rngs(0))) for layers in (2, 40))
    assert many.arrays > few.arrays
    assert few.executable_s < few.nnx_jit_s
    assert many.nnx_jit_s > 2 * few.nnx_jit_s
    assert many.added_s == many.nnx_jit_s - many.executable_s


def test_a_module_that_was_never_allocated_costs_the_same_kind_of_time():
    dispatch = dispatch_time(nnx.eval_shape(lambda: Tower(2, rngs=nnx.Rngs(0))))
    assert 0 < dispatch.executable_s < dispatch.nnx_jit_s < 0.1


def test_the_state_of_the_optimizer_counts():
    module = Tower(2, rngs=nnx.Rngs(0))
    assert dispatch_time(module, optax.adam(1e-3)).arrays > dispatch_time(module, optax.sgd(1e-3)).arrays


def test_the_module_is_as_it_was():
    module = Tower(2, rngs=nnx.Rngs(0))
    before = jax.tree.map(lambda leaf: leaf.shape, nnx.state(module, nnx.Param))
    dispatch_time(module)
    assert jax.tree.map(lambda leaf: leaf.shape, nnx.state(module, nnx.Param)) == before
    module.layers[0](np.ones((2, 8), np.float32))


def test_it_takes_about_a_second_at_most():
    start = time.perf_counter()
    dispatch_time(Tower(30, rngs=nnx.Rngs(0)))
    assert time.perf_counter() - start < 5


def test_nothing_is_subtracted_below_zero():
    assert Dispatch(arrays=1, executable_s=2e-3, nnx_jit_s=1e-3).added_s == 0


def test_a_batch_is_moved_in_some_time():
    assert 0 < input_time({"inputs": np.zeros((64, 3, 32, 32), np.float32), "labels": np.zeros(64, np.int32)}) < 1
