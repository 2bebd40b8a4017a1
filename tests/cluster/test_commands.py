"""The commands of the cluster, as a user types them."""

import json
import subprocess
import sys

import pytest
from jobs import REPOSITORY

from speedup.cli import run


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (["testbed"], 2, "testbed needs a command"),
        (["run", "squeezenet", "--mode", "async", "--server", "allreduce"], 2, "needs every worker at once"),
        (["run", "squeezenet", "--servers", "2"], 2, 'belongs to server = "sharded"'),
        (["run", "squeezenett"], 2, "squeezenet"),
        (["run", "squeezenet", "--compute", "emulated", "--hosts", "a", "b"], 2, "3 processes need 3 hosts"),
        (["run", "squeezenet", "--mode", "sync-split", "--workers", "9", "--batch", "8"], 2, "cannot be split over 9"),
        (["run", "squeezenet", "--algorithm", "l0", "--server", "distributed"], 2, "needs the whole gradient"),
        (["run", "nardini_mlp", "--batches", "1", "--workers", "2"], 2, "2 workers share batches = 1"),
        (
            ["run", "squeezenet", "--compute", "emulated", "--engine", "tcp", "--hosts", "a.invalid", "b", "c"],
            2,
            'host "a.invalid" has no address',
        ),
        (["run", "nardini_mlp", "--up", "int8"], 2, "belong to --compute emulated"),
        (["run", "squeezenet", "--compute", "emulated", "--down", "int8"], 2, "deltas=True"),
        (["run", "squeezenet", "--compute", "emulated", "--up", "int8", "--server", "allreduce"], 2, "need a server"),
        (["transport", "-o", "no-such-folder/lab.json"], 3, "no-such-folder"),
        (["recommend", "squeezenet", "--network", "no-such-link.json"], 3, "speedup transport -o no-such-link.json"),
    ],
)
@pytest.mark.usefixtures("mpi")
def test_a_mistake_gets_one_clear_error_before_anything_is_started(capsys, line, code, message):
    assert run(line) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.usefixtures("mpi")
def test_run_trains_and_writes_what_every_worker_did(tmp_path):
    path = tmp_path / "timeline.csv"
    options = ["--workers", "2", "--batches", "4", "--server", "distributed", "--timeline", str(path), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "speedup", "run", "nardini_mlp", "--batch", "8", *options],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["compute"] == "real"
    assert len(found["losses"]) == 2
    head, *rows = path.read_text().splitlines()
    assert head == "worker,iteration,stage,start_s,end_s"
    assert {row.split(",")[2] for row in rows} >= {"receive", "compute", "send"}


@pytest.mark.usefixtures("mpi")
def test_processes_that_a_launcher_started_do_the_run_themselves():
    from calibrate.engine.launch import Hosts, mpirun_command

    words = ["run", "squeezenet", "--compute", "emulated", "--t-grad", "0.01", "--batches", "4", "--json"]
    command = mpirun_command(3, [sys.executable, "-m", "speedup", *words], Hosts())
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert (found["workers"], found["batches"]) == (2, 4)
    assert found["wire"] == "loopback of one machine"


@pytest.mark.usefixtures("mpi")
def test_devices_are_measured_with_the_collectives_of_two_processes():
    words = ["transport", "--devices", "--processes", "2", "--largest", "20000", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "speedup", *words],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=200,
        check=True,
    )
    found = json.loads(done.stdout)
    assert {one["operation"] for one in found["collectives"]} >= {"all-reduce", "all-gather"}
    assert {one["processes"] for one in found["collectives"]} == {2}
    assert {one["direction"] for one in found["copies"]} == {"host-to-device", "device-to-host"}
