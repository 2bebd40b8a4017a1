"""Distributed edge-popup: what nodes send, what the server makes of it, and that one process plays them faithfully."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrate.datasets import Dataset
from calibrate.learning.distributed import DistributedEdgePopup, Rounds, binarised, merged, shards
from speedup.errors import PlanError, UnitError

HOW = Rounds(nodes=3, samples=40, rounds=2, epochs=2)


@pytest.fixture(scope="module")
def images():
    """Digits as ink: each class has pixels of its own."""
    random = np.random.default_rng(0)
    prototypes = random.integers(0, 2, (10, 28, 28)) * 255

    def draw(samples):
        labels = np.arange(samples, dtype=np.int32) % 10
        noise = random.random((samples, 28, 28)) < 0.1
        return np.where(noise, 255 - prototypes[labels], prototypes[labels]).astype(np.uint8)[..., None], labels

    return Dataset("made", *draw(400), *draw(200), classes=10)


@given(st.integers(1, 50), st.integers(1, 12), st.integers(0, 5))
def test_nodes_share_no_sample_until_all_are_used(nodes, each, seed):
    found = shards(60, nodes, each, seed)
    assert found.shape == (nodes, each)
    group = 60 // each
    for first in range(0, nodes, group):
        part = found[first : first + group].ravel()
        assert len(set(part.tolist())) == part.size
        assert part.min() >= 0
        assert part.max() < 60


@given(st.permutations(range(4)))
def test_the_best_score_does_not_depend_on_the_order_of_the_nodes(order):
    scores = jnp.asarray(np.random.default_rng(1).standard_normal((4, 7)))
    best = merged([scores])[0]
    np.testing.assert_array_equal(merged([scores[jnp.array(order)]])[0], best)
    pairs = merged([jnp.stack([merged([scores[:2]])[0], merged([scores[2:]])[0]])])[0]
    np.testing.assert_array_equal(pairs, best)
    np.testing.assert_array_equal(merged([jnp.stack([best, best])])[0], best)


def test_scores_may_fall_from_round_to_round(images):
    played = DistributedEdgePopup(HOW, images)
    played.round()
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(played._moving.trained)]
    played.round()
    after = [np.asarray(leaf) for leaf in jax.tree.leaves(played._moving.trained)]
    assert any((new < old).any() for new, old in zip(after, before, strict=True))


def test_a_node_that_is_played_beside_others_does_what_it_does_alone(images):
    played = DistributedEdgePopup(HOW, images)
    run, start = played._run, played._moving
    orders = played._orders(0)
    inputs, labels = played._samples
    together = played._play(run.frozen, tuple(jax.tree.leaves(start)), inputs, labels, orders)
    for node in range(HOW.nodes):
        leaves = tuple(jax.tree.leaves(start))
        step = jax.jit(run.update)
        for rows in orders[node]:
            leaves, _ = step(run.frozen, leaves, (inputs[node][rows], labels[node][rows]))
        alone, beside = run.unflattened(leaves), run.unflattened(tuple(leaf[node] for leaf in together))
        for one, other in zip(jax.tree.leaves(alone.trained), jax.tree.leaves(beside.trained), strict=True):
            # One score in a thousand may fall on the other side of a tie.
            assert np.mean(~np.isclose(one, other, rtol=1e-3, atol=1e-5)) < 1e-3


def test_rounds_learn_and_say_what_travels(images):
    played = DistributedEdgePopup(replace(HOW, samples=120, epochs=4), images)
    first = played.round()
    for _ in range(3):
        last = played.round()
    assert last.test_accuracy > 0.5
    assert last.test_loss < first.test_loss
    assert (last.round, last.samples_seen) == (4, 4 * 3 * 4 * 120)
    assert last.up_bytes == last.down_bytes == 4 * 278_800


def test_the_mean_of_one_node_is_its_maximum(images):
    alone = replace(HOW, nodes=1)
    best, mean = DistributedEdgePopup(alone, images), DistributedEdgePopup(replace(alone, merge="mean"), images)
    assert best.round().test_loss == pytest.approx(mean.round().test_loss, rel=1e-6)


def test_ink_is_one():
    assert binarised(np.array([[0, 127, 128, 255]], np.uint8), (4,)).tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"nodes": 0}, UnitError),
        ({"batch": 41}, UnitError),
        ({"merge": "median"}, PlanError),
        ({"algorithm": "sgd"}, UnitError),
    ],
)
def test_bad_rounds_are_refused(wrong, error):
    with pytest.raises(error):
        replace(HOW, **wrong)


def test_more_samples_than_there_are_is_refused(images):
    with pytest.raises(UnitError, match="there are 400 training samples"):
        DistributedEdgePopup(replace(HOW, samples=401), images)
