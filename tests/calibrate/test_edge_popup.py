"""The mask is that of a stable sort, and the gradient of the scores goes straight through it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calibrate.training.edge_popup import ALMOST_ZERO, EdgePopup, kept_count, masked
from calibrate.training.parametrisation import Tensor
from calibrate.training.selection import select_each, select_top
from speedup.errors import UnitError, UnknownNameError

RANKS = ("abs", "raw")
COUNTS = (0, 1, 2, 20, 31, 59, 60)
compiled_top = jax.jit(select_top, static_argnames=("kept", "rank"))
EDGE = 2048  # entries of a row of the search


def sorted_mask(scores, kept, rank):
    """Return the mask that a stable ascending sort gives: its first places are set to zero."""
    flat = np.asarray(scores, dtype=np.float32).ravel()
    ranked = (np.abs(flat) if rank == "abs" else flat) + np.float32(0)
    mask = np.ones(flat.size, dtype=bool)
    mask[np.argsort(ranked, kind="stable")[: flat.size - kept]] = False
    return mask.reshape(np.shape(scores))


def adversaries():
    rng = np.random.default_rng(1)
    yield "normal", rng.normal(size=50_000)
    yield "all equal", np.full(5000, 0.25)
    yield "all zero", np.zeros(EDGE + 1)
    yield "zeros of both signs", np.where(rng.random(5000) < 0.5, 0.0, -0.0)
    yield "two values", rng.integers(0, 2, size=3 * EDGE).astype(float)
    yield "few values", rng.integers(-3, 4, size=70_000).astype(float)
    yield "infinities", np.where(rng.random(5000) < 0.4, np.inf, -np.inf)
    yield "one large", np.concatenate([np.ones(4000), [1e30]])
    yield "denormal", rng.random(30_000) * 1e-40
    yield "many magnitudes", np.clip(np.exp(rng.normal(size=50_000) * 20), 0, 3e38)
    yield "ascending", np.arange(10_000.0)
    yield "descending", -np.arange(10_000.0)


@pytest.mark.parametrize("rank", RANKS)
def test_the_mask_is_that_of_a_stable_sort_whatever_the_scores_are(rank):
    scores = [values.astype(np.float32) for _, values in adversaries()]
    for fraction in (0.5, 0.01, 0.99):
        kept = [kept_count(one.size, fraction, rank) for one in scores]
        masks = jax.jit(lambda values, kept=kept: select_each(values, kept, rank=rank))(scores)
        for (name, _), one, count, mask in zip(adversaries(), scores, kept, masks, strict=True):
            np.testing.assert_array_equal(mask, sorted_mask(one, count, rank), err_msg=f"{name}, {fraction}")


@pytest.mark.parametrize("size", [1, 2, 3, EDGE - 1, EDGE, EDGE + 1, 3 * EDGE])
def test_sizes_around_a_row_of_the_search_are_no_exception(size):
    scores = np.random.default_rng(size).normal(size=size).astype(np.float32)
    for kept in {0, 1, size // 2, size - 1, size}:
        np.testing.assert_array_equal(compiled_top(scores, kept), sorted_mask(scores, kept, "abs"))


def test_a_few_large_tensors_are_searched_without_writing_their_keys():
    scores = np.random.default_rng(0).integers(-500, 500, size=(2**22 + 5,)).astype(np.float32)
    kept = scores.size // 3
    mask = jax.jit(lambda one: select_top(one, kept))(scores)
    np.testing.assert_array_equal(mask, sorted_mask(scores, kept, "abs"))


@given(
    arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-2, 2, width=16)),
    st.sampled_from(COUNTS),
    st.sampled_from(RANKS),
)
def test_any_small_tensor_gets_the_mask_of_a_stable_sort(scores, kept, rank):
    # One shape for all examples, so that few programs are compiled: what is not there ranks below all.
    filled = np.concatenate([np.full(60 - scores.size, 0 if rank == "abs" else -9, np.float32), scores])
    count = max(one for one in COUNTS if one <= min(kept, scores.size))
    np.testing.assert_array_equal(compiled_top(filled, count, rank=rank), sorted_mask(filled, count, rank))


def test_among_equal_scores_the_later_index_survives():
    assert select_top(jnp.array([1.0, -1.0, 1.0, 1.0]), 2).tolist() == [False, False, True, True]


@pytest.mark.parametrize("values", [[1.0, 0.5, 0.5, 0.5], [1.0, *[0.5] * 9, 0.25], [3.0, 2.0, *[1e-30] * 3]])
def test_scores_that_tie_in_one_row_of_the_search_are_told_apart_by_their_index(values):
    scores = np.concatenate([np.zeros(56, np.float32), np.array(values, np.float32)])
    for kept in range(1, len(values) + 2):
        np.testing.assert_array_equal(select_top(jnp.asarray(scores), kept), sorted_mask(scores, kept, "abs"))


def test_not_a_number_ranks_above_infinity():
    assert select_top(jnp.array([jnp.inf, jnp.nan, 1.0, -jnp.nan]), 2).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    ("kept", "rank", "error"), [(-1, "abs", UnitError), (4, "abs", UnitError), (1, "up", UnknownNameError)]
)
def test_what_cannot_be_selected_is_refused(kept, rank, error):
    with pytest.raises(error):
        select_top(jnp.ones(3), kept, rank=rank)
    with pytest.raises(UnitError, match="int32"):
        select_top(jnp.arange(3), 1)


def test_the_number_kept_is_that_of_the_two_programs():
    assert [kept_count(n, 0.5) for n in (4, 5)] == [2, 3]
    assert [kept_count(n, 0.5, "raw") for n in (4, 5)] == [2, 2]
    assert kept_count(784 * 200, 1.0) == kept_count(784 * 200, 1.0, "raw") == 784 * 200


@pytest.mark.parametrize(("rank", "expected"), [("abs", [5.0, -14.0, 27.0]), ("raw", [5.0, 14.0, 27.0])])
def test_every_score_gets_the_straight_through_gradient_masked_or_not(rank, expected):
    weights, scores, incoming = jnp.array([5.0, 7.0, 9.0]), jnp.array([0.1, -0.3, 0.2]), jnp.array([1.0, 2.0, 3.0])

    def loss(scores):
        return jnp.sum(incoming * masked(weights, scores, select_top(scores, 1, rank=rank), rank))

    assert jax.grad(loss)(scores).tolist() == pytest.approx(expected)


def test_the_gradient_to_the_inputs_uses_the_masked_weights():
    weights, scores = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[0.9, 0.1], [0.2, 0.8]])
    gradient = jax.grad(lambda x: jnp.sum(x @ masked(weights, scores, select_top(scores, 2))))(jnp.ones((1, 2)))
    assert gradient.tolist() == [[1.0, 4.0]]


TENSORS = [
    Tensor(("stem", "kernel"), jnp.ones((3, 3, 4, 50))),
    Tensor(("stem", "scale"), jnp.full(50, 7.0)),
    Tensor(("stem", "bias"), jnp.full(50, 7.0)),
    Tensor(("tokens", "embedding"), jnp.full((5, 4), 7.0)),
    Tensor(("head", "kernel"), jnp.ones((200, 100))),
    Tensor(("head", "bias"), jnp.full(100, 7.0)),
]


def test_kernels_alone_have_scores_and_the_rest_is_frozen():
    now = EdgePopup().start(TENSORS, jax.random.key(0))
    assert [scores.shape for scores in now.trained] == [(3, 3, 4, 50), (200, 100)]
    weights, _ = EdgePopup().weights(now)
    assert [one.shape for one in weights] == [tensor.value.shape for tensor in TENSORS]
    assert [float(weights[place].max()) for place in (1, 2, 3, 5)] == [1.0, 0.0, 7.0, 0.0]
    assert [int((weights[place] == 0).sum()) for place in (0, 4)] == [900, 10_000]


def test_weights_and_scores_start_as_the_program_draws_them():
    now = EdgePopup().start(TENSORS, jax.random.key(0))
    (_, head), _ = now.frozen
    assert float(head.std()) == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    bound = 1 / np.sqrt(200)
    assert 0.99 * bound < float(jnp.abs(now.trained[1]).max()) <= bound


def test_a_signed_constant_has_one_magnitude_and_scaling_divides_by_the_root_of_the_fraction_kept():
    choice = EdgePopup(kept=0.25, weights_from="signed_constant", scaled=True)
    (stem, _), _ = choice.start(TENSORS, jax.random.key(0)).frozen
    assert np.unique(np.abs(stem)).tolist() == pytest.approx([np.sqrt(2 / 36 / 0.25)])
    assert 0.4 < float((stem > 0).mean()) < 0.6


def test_scores_at_zero_are_told_apart_at_random_so_that_no_neuron_is_switched_off():
    choice = EdgePopup(rank="raw", scores="zeros", last_kept=1.0)
    now = choice.start(TENSORS, jax.random.key(0))
    assert float(jnp.abs(now.trained[0]).max()) <= ALMOST_ZERO
    weights, _ = choice.weights(now)
    kept_of_each_map = (np.asarray(weights[0]) != 0).sum(axis=(0, 1, 2))
    assert 5 < kept_of_each_map.min() <= kept_of_each_map.max() < 31
    assert (np.asarray(weights[4]) != 0).all()


@pytest.mark.parametrize("options", [{"kept": 0.0}, {"kept": 1.5}, {"last_kept": -1.0}])
def test_fractions_that_are_none_are_refused(options):
    with pytest.raises(UnitError, match="fraction of the weights"):
        EdgePopup(**options)


def test_a_model_without_a_kernel_cannot_be_scored():
    with pytest.raises(UnitError, match="kernel"):
        EdgePopup().start([Tensor(("bias",), jnp.ones(3))], jax.random.key(0))
