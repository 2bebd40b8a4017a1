"""A persistent batch is updated with K times, and saves loading alone."""

import itertools

import pytest

from calibrate.training.persistency import epoch_time_s, persistent
from speedup.errors import UnitError

# Tables 2.1 and 2.2 of the thesis on minibatch persistency: seconds an epoch for K = 1, 2, 5 at batch 512.
PRINTED = {"vgg16": (11.3, 21.5, 52.0), "resnet34": (36.0, 70.3, 169.0)}
BATCHES = 98


@pytest.mark.parametrize("network", PRINTED)
def test_the_printed_epochs_of_a_network_limited_by_computing_are_a_line_in_k(network):
    one, two, five = PRINTED[network]
    update = (five - one) / 4 / BATCHES
    rest = one - BATCHES * update
    assert epoch_time_s(BATCHES, update, persistency=2, t_evaluation_s=rest) == pytest.approx(two, rel=0.016)
    assert rest < 0.1 * one


def test_the_updates_of_the_specification_come_out():
    one, _, five = PRINTED["vgg16"]
    assert (five - one) / 4 / BATCHES == pytest.approx(0.1039, rel=0.003)


def test_persistency_is_free_while_loading_takes_longer():
    # AlexNet at batch 512: 62 ms to load a batch, at most 15.5 ms an update.
    epochs = [epoch_time_s(BATCHES, 0.009, persistency=k, t_load_s=0.062) for k in (1, 2, 5, 6, 7)]
    assert epochs[0] == epochs[1] == epochs[2] == epochs[3] < epochs[4]
    assert epochs[0] == pytest.approx(6.1, rel=0.01)


def test_batches_are_loaded_one_at_a_time():
    endless = persistent(itertools.count(), 2)
    assert list(itertools.islice(endless, 5)) == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("options", [{"persistency": 0}, {"t_load_s": -1.0}, {"t_evaluation_s": float("nan")}])
def test_numbers_out_of_range_are_refused(options):
    with pytest.raises(UnitError):
        epoch_time_s(10, 0.1, **options)
    with pytest.raises(UnitError, match="persistency = 0"):
        persistent([], 0)
