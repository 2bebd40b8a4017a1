"""Distributed edge-popup with a process for each node, against one process that plays them all."""

from dataclasses import replace

import pytest

from calibrate.cluster.rounds import NodesJob
from calibrate.cluster.sessions import _parsed, run_rounds
from calibrate.learning.distributed import DistributedEdgePopup, Rounds
from speedup.errors import UnitError

HOW = Rounds(nodes=3, samples=60, rounds=2, epochs=1)


@pytest.mark.parametrize("merge", ["max", "mean"])
def test_processes_reach_what_one_process_reaches_that_plays_all_nodes(hosts, merge):
    job = NodesJob(rounds=replace(HOW, merge=merge), data="synthetic")
    rows = list(run_rounds(job, hosts))
    played = DistributedEdgePopup(job.rounds, job.dataset())
    for row in rows:
        alone = played.round()
        # One score in a thousand may fall on the other side of a tie, as it is computed beside others or alone.
        assert row["test_loss"] == pytest.approx(alone.test_loss, rel=0.05)
        assert row["test_accuracy"] == pytest.approx(alone.test_accuracy, abs=0.02)
        same = ("round", "samples_seen", "up_bytes", "down_bytes")
        assert {name: row[name] for name in same} == {name: getattr(alone, name) for name in same}
    assert len(rows) == 2


def test_a_node_cannot_have_more_samples_than_there_are(hosts):
    job = NodesJob(rounds=replace(HOW, samples=5000), data="synthetic")
    with pytest.raises(Exception, match="samples = 5000 for each node") as caught:
        list(run_rounds(job, hosts))
    assert caught.value.exit_code == UnitError.exit_code


def test_what_a_process_tells_is_heard_behind_a_launchers_own_words():
    line = '{"rank": 1, "error": "no", "code": 2}\n'
    assert _parsed(line) == _parsed("\0" + line) == {"rank": 1, "error": "no", "code": 2}
    assert _parsed("-----\n") is None
