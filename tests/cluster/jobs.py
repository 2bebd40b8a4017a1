"""Runs that several tests start."""

import json
import os
import sys
from pathlib import Path

import psutil

from calibrate.cluster.job import Compute, Job, Training, run_plan
from calibrate.cluster.training import training_run

REPOSITORY = Path(__file__).parents[2]


def emulated(workers, mode, server, schedule="none", *, elements=300_000, t_grad=0.02, batches=None, **plan):
    """Return a run whose workers wait; three tensors of unequal size."""
    parts = (elements // 2, elements // 3, elements - elements // 2 - elements // 3)
    return Job(
        plan=run_plan(workers=workers, mode=mode, server=server, schedule=schedule, **plan),
        batches=batches or 2 * workers,
        tensor_elements=parts,
        t_grad_s=t_grad,
    )


def inside(bed, jobs, *, engine="mpi", timeout_s=120):
    """Run jobs on the hosts of a testbed, and return their results as plain documents."""
    program = (
        "import json, sys\n"
        "from calibrate.cluster.job import Job\n"
        "from calibrate.cluster.sessions import named_hosts, run_jobs\n"
        "jobs = [Job.from_dict(job) for job in json.loads(sys.argv[1])]\n"
        "for measured in run_jobs(jobs, named_hosts(engine=sys.argv[2])):\n"
        "    print(json.dumps(measured.to_dict()), flush=True)\n"
    )
    words = json.dumps([job.to_dict() for job in jobs])
    done = bed.run(
        [sys.executable, "-c", program, words, engine],
        timeout_s=timeout_s,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def process_of(rank, parent=None):
    """Return the process of a rank among the descendants of a process."""
    for process in psutil.Process(parent or os.getpid()).children(recursive=True):
        try:
            environ = process.environ()
        except psutil.Error:
            continue
        words = process.cmdline()
        if "calibrate.cluster" not in words or "calibrate.engine.launcher" in words:
            continue
        _, _, behind = " ".join(words).partition("calibrate.cluster")
        if environ.get("OMPI_COMM_WORLD_RANK", *behind.split()[1:2]) == str(rank):
            return process
    return None


def trained(workers, mode, server, folder, *, batch, batches, network="nardini_mlp", algorithm="momentum", **plan):
    """Return a run that trains a network on a problem that is made."""
    training = Training(
        architecture=network,
        algorithm=algorithm,
        batch=batch,
        data="synthetic",
        rate=1000.0,
        weights=str(folder / f"{workers}-{mode}-{server}-{batch}-{plan.get('placement')}.npy"),
    )
    return Job(
        plan=run_plan(workers=workers, mode=mode, server=server, **plan),
        batches=batches,
        tensor_elements=training_run(training).tensor_elements,
        compute=Compute.REAL,
        training=training,
    )
