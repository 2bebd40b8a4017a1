"""Workers, servers and links that fail while a run is under way."""

import json
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace

import numpy as np
import psutil
import pytest
from jobs import REPOSITORY, emulated, process_of, trained

from calibrate.cluster.sessions import run_jobs
from calibrate.engine.base import ClusterError
from calibrate.engine.launch import Hosts

LIMIT_S = 60


def kill_when(condition, rank):
    """Kill a rank as soon as a condition holds, from another thread."""

    def work():
        deadline = time.monotonic() + LIMIT_S
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.02)
        process_of(rank).kill()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def started(progress):
    return lambda: bool(progress) and progress[-1] > 0.2


def test_a_worker_killed_in_synchronous_training_is_named_and_training_goes_on_from_its_checkpoint(tmp_path):
    hosts = Hosts(engine="tcp")
    folder = tmp_path / "kept"
    whole = trained(2, "sync-join", "central", tmp_path, batch=8, batches=4000)
    job = replace(whole, training=replace(whole.training, checkpoint=str(folder), every=50, weights=None))
    progress = []
    thread = kill_when(started(progress), 2)
    with pytest.raises(ClusterError, match="rank 2") as caught:
        list(run_jobs([job], hosts, on_progress=lambda _, share: progress.append(share)))
    thread.join()
    assert caught.value.exit_code == 6
    assert list(folder.glob("rank0-*.msgpack"))
    (rest,) = run_jobs([replace(job, training=replace(job.training, resume=True))], hosts)
    assert 0 < rest.batches < 4000
    # It continues, rather than begins again.
    assert np.mean(rest.losses[:20]) < 1.0


def test_the_others_go_on_without_a_worker_killed_in_asynchronous_training(hosts):
    job = emulated(3, "async", "central", "semaphore", t_grad=0.1, batches=60)
    progress, reports = [], []
    thread = kill_when(started(progress), 2)
    (measured,) = run_jobs([job], hosts, on_progress=lambda _, share: progress.append(share), on_report=reports.append)
    thread.join()
    assert measured.lost == (2,)
    assert any("rank 2 is lost" in report for report in reports)
    # Three workers for the first part, two for the rest: the time of neither three nor of one.
    assert 60 * 0.1 / 3 < measured.time_s < 60 * 0.1 / 2 * 1.5
    computed = {row["worker"] for row in measured.timeline if row["stage"] == "compute"}
    assert {1, 3} <= computed


def test_a_killed_server_ends_the_run_with_a_message(hosts):
    job = emulated(2, "sync-join", "central", t_grad=0.1, batches=400)
    progress = []
    thread = kill_when(started(progress), 0)
    begin = time.monotonic()
    with pytest.raises(ClusterError, match=r"rank 0|processes ended"):
        list(run_jobs([job], hosts, on_progress=lambda _, share: progress.append(share)))
    thread.join()
    assert time.monotonic() - begin < LIMIT_S


@pytest.mark.usefixtures("mpi")
@pytest.mark.parametrize("engine", ["mpi", "tcp"])
@pytest.mark.parametrize("bed", [(3, "100mbit")], indirect=True)
def test_a_link_that_goes_down_is_reported_within_seconds_and_ends_the_run_in_time(bed, engine):
    job = emulated(2, "sync-join", "central", elements=300_000, t_grad=0.1, batches=400)
    program = (
        "import json, sys, time\n"
        "from calibrate.cluster.job import Job\n"
        "from calibrate.cluster.sessions import named_hosts, run_jobs\n"
        "say = lambda word: print(word, flush=True)\n"
        "job = Job.from_dict(json.loads(sys.argv[1]))\n"
        "for _ in run_jobs(\n"
        "    [job], named_hosts(engine=sys.argv[2]), on_progress=lambda *_: say('running'), on_report=say,\n"
        "    silent_s=2.0, patience_s=6.0): pass\n"
    )
    process = bed.popen(
        [sys.executable, "-c", program, json.dumps(job.to_dict()), engine],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    said = {}
    for line in process.stdout:
        if "running" in line and "running" not in said:
            said["running"] = time.monotonic()
            bed.set_link(2, up=False)
        if "silent" in line:
            said.setdefault("silent", time.monotonic())
    errors = process.stderr.read()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(LIMIT_S) != 0
    assert "silent" in said, errors
    assert said["silent"] - said["running"] < 6
    assert "host3" in errors
    assert "silent" in errors


def listening(program):
    """Return the addresses on which a process and those that it started wait for connections."""
    found = set()
    for process in (program, *program.children(recursive=True)):
        with suppress(psutil.Error):
            found |= {one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN}
    return found


def test_over_plain_tcp_nothing_listens_but_on_the_hosts_own_address_and_nothing_survives_its_launcher():
    program = (
        "import json, sys\n"
        "from calibrate.cluster.job import Job\n"
        "from calibrate.cluster.sessions import named_hosts, run_jobs\n"
        "job = Job.from_dict(json.loads(sys.argv[1]))\n"
        "say = lambda *_: print('running', flush=True)\n"
        "list(run_jobs([job], named_hosts(engine='tcp'), on_progress=say))\n"
    )
    job = emulated(2, "sync-join", "central", t_grad=0.1, batches=4000)
    command = [sys.executable, "-c", program, json.dumps(job.to_dict())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    seen, running = set(), threading.Event()
    thread = threading.Thread(target=lambda: process.stdout.readline() and running.set())
    thread.start()
    end = time.monotonic() + LIMIT_S
    while not running.is_set() and time.monotonic() < end:
        seen |= listening(psutil.Process(process.pid))
        time.sleep(0.01)
    thread.join()
    assert seen == {"127.0.0.1"}
    # All have met: nobody listens any more.
    assert listening(psutil.Process(process.pid)) == set()
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4
    process.kill()
    process.wait()
    process.stdout.close()
    _, alive = psutil.wait_procs(children, 10)
    assert not alive
