"""A callable that returns before its work is done is refused; one that does not is timed."""

import asyncio
import concurrent.futures
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import calibrate
from speedup.errors import UnfinishedWorkError, UnitError

pytestmark = pytest.mark.device

QUICK = {"min_time_s": 0.0, "max_time_s": 0.5}
X = jnp.full((300, 300), 1e-3)


@jax.jit
def heavy(x):
    """Some 20 ms of work."""
    return jax.lax.fori_loop(0, 60, lambda _, y: jnp.tanh(y @ x), x)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    heavy(X).block_until_ready()


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        yield executor


def compute(seconds):
    """Use one processor for some time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def refused(step, **options):
    with pytest.raises(UnfinishedWorkError) as caught:
        calibrate.measure(step, **options, **QUICK)
    return str(caught.value)


def test_an_array_nobody_waits_for_is_refused_with_both_times_and_a_cure():
    message = refused(lambda: heavy(X), sync=None)
    assert message.startswith("your step returned before its work was done (loop of ")
    assert "s of waiting). Return the arrays to wait for, or pass sync=..." in message


def test_work_whose_result_is_thrown_away_is_refused():
    def step():
        heavy(X)

    refused(step)


def test_an_array_kept_elsewhere_is_refused():
    kept = [X]

    def step():
        kept[0] = heavy(X)

    refused(step)


def test_a_thread_that_outlives_its_call_is_refused():
    refused(lambda: threading.Thread(target=time.sleep, args=(0.05,)).start())


def test_a_computation_in_a_pool_is_refused(pool):
    def step():
        pool.submit(compute, 0.03)

    refused(step)


def test_a_future_is_refused(pool):
    refused(lambda: {"later": [pool.submit(time.sleep, 0.03)]})


def test_a_coroutine_is_refused():
    assert "returned a coroutine" in refused(lambda: asyncio.sleep(0.01))


def test_a_generator_is_refused():
    assert "returned a generator" in refused(lambda: (index for index in range(3)))


def test_a_future_that_sync_waits_for_is_timed(pool):
    result = calibrate.measure(pool.submit, time.sleep, 0.02, sync=lambda future: future.result(), **QUICK)
    assert 0.02 <= result.median_s < 0.06


@pytest.mark.parametrize("sync", ["auto", jax.block_until_ready])
def test_arrays_in_any_structure_are_waited_for(sync):
    alone = calibrate.measure(lambda: heavy(X).block_until_ready(), sync=None, **QUICK)
    inside = calibrate.measure(lambda: {"loss": (heavy(X),)}, sync=sync, **QUICK)
    # Other programs may slow either; a step not waited for would take a hundredth.
    assert 0.3 < inside.median_s / alone.median_s < 3


def test_sleep_is_timed():
    result = calibrate.measure(time.sleep, 0.02, **QUICK)
    assert 0.02 <= result.median_s < 0.06


@pytest.mark.parametrize("size", [50, 700])
def test_linear_algebra_of_numpy_is_timed(size):
    matrix = np.ones((size, size))
    assert calibrate.measure(lambda: matrix @ matrix, sync=None, **QUICK).median_s > 0


def test_a_step_that_keeps_a_pool_of_its_own_is_timed():
    pools = []

    def step():
        if not pools:
            pools.append(concurrent.futures.ThreadPoolExecutor(1))
        return pools[0].submit(time.sleep, 0.01).result()

    try:
        assert calibrate.measure(step, **QUICK).median_s >= 0.01
    finally:
        pools[0].shutdown()


def test_a_step_that_does_nothing_is_timed():
    assert 0 < calibrate.measure(lambda: None, **QUICK).median_s < 1e-3


def test_the_error_of_a_step_passes_through():
    with pytest.raises(ZeroDivisionError):
        calibrate.measure(lambda: 1 / 0)


def test_another_word_for_sync_is_refused():
    with pytest.raises(UnitError, match='must be "auto", None, or a function'):
        calibrate.measure(time.sleep, 0.01, sync="always")


def test_a_limit_out_of_range_is_refused_before_the_first_call():
    calls = []
    with pytest.raises(UnitError, match="max_time_s"):
        calibrate.measure(calls.append, 1, max_time_s=0)
    assert not calls
