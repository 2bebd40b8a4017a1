"""The command ``fit``: learn how a training scales from a few measured runs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path  # noqa: TC003 - the parser reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from speedup.scaling.collectives import LinkFit
    from speedup.scaling.models import ScalingModel
    from speedup.scaling.runs import Runs

ModelName = Literal["speedup", "servers", "async", "pollux", "ernest", "usl", "amdahl", "linear"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is predicted."""

    predict_workers: Annotated[
        list[int] | None,
        Parameter(consume_multiple=True, help="Numbers of workers; twice and four times the largest if left out."),
    ] = None
    batch: Annotated[float | None, Parameter(help="Samples of one worker; what most runs have if left out.")] = None
    per_machine: Annotated[
        int | None, Parameter(help="Workers in a machine; as in the fullest of the runs if left out.")
    ] = None
    servers: Annotated[
        int | None, Parameter(help="Machines that hold a shard of the weights; as in most runs if left out.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Advice:
    """Which run to make next."""

    next: Annotated[bool, Parameter(help="Say which run makes the last prediction surer, for its cost.")] = False
    max_workers: Annotated[
        int | None, Parameter(help="Largest number of workers of such a run; twice the largest if left out.")
    ] = None
    budget: Annotated[
        float | None, Parameter(help="Worker-seconds that it may take; the run that then helps most is named.")
    ] = None


_WANTED = Wanted()
_ADVICE = Advice()


def fit(
    runs: Annotated[
        Path | None,
        Parameter(
            help="CSV file with the columns workers and step_s [s], or throughput [samples/s] and batch; as known also "
            "machines, fullest, servers, batch, global_batch. May be left out with --nccl."
        ),
    ] = None,
    /,
    *,
    model: Annotated[
        ModelName | None, Parameter(help="Model; speedup for an all-reduce and servers for servers if left out.")
    ] = None,
    profile: Annotated[
        str | None, Parameter(help="Profile whose t_grad counts as runs of one worker (speedup profiles).")
    ] = None,
    nccl: Annotated[
        Path | None,
        Parameter(
            help="What all_reduce_perf of nccl-tests printed, or wrote with -J: its bandwidth and latency, with which "
            "the fit begins if --profile says how many bytes travel."
        ),
    ] = None,
    no_compare: Annotated[bool, Parameter(help="Do not compare models by leaving runs out.")] = False,
    json_: Annotated[bool, Parameter(name="--json", help="One JSON document.")] = False,
    wanted: Wanted = _WANTED,
    advice: Advice = _ADVICE,
) -> None:
    """Fit how a training scales to measured runs: parameters, held-out errors, predictions, the run to make next."""
    from speedup.scaling.readers import read_runs  # noqa: PLC0415 - nothing slow before a command is chosen
    from speedup.scaling.study import study  # noqa: PLC0415

    if runs is None:
        _show_collective(nccl, json_=json_)
        return
    measured, link, chosen = _with_profile(read_runs(runs), profile, nccl, model)
    found = study(
        measured,
        model=chosen,
        predict_workers=wanted.predict_workers or (),
        batch=wanted.batch,
        per_machine=wanted.per_machine,
        servers=wanted.servers,
        comparing=not no_compare,
        next_runs=advice.next,
        max_workers=advice.max_workers,
        budget_worker_s=advice.budget,
        link=link,
    )
    print(found.to_json() if json_ else found)


def _show_collective(nccl: Path | None, *, json_: bool) -> None:
    """Print what a collective showed, without any runs of a training."""
    from speedup.errors import FitError  # noqa: PLC0415 - see fit
    from speedup.scaling.collectives import fit_link, read_nccl_tests  # noqa: PLC0415

    if nccl is None:
        raise FitError("there is nothing to fit. Name a CSV file with measured runs, or give --nccl FILE.")
    link = fit_link(read_nccl_tests(nccl))
    print(json.dumps({"schema": "speedup.collective/1", **asdict(link)}, indent=1) if json_ else link)


def _with_profile(
    runs: Runs, profile: str | None, nccl: Path | None, model: str | None
) -> tuple[Runs, LinkFit | None, str | ScalingModel | None]:
    """Return the runs with those of a profile, the link of a collective, and the model that begins with it."""
    from speedup.profile import Profile  # noqa: PLC0415 - see fit
    from speedup.scaling.collectives import fit_link, read_nccl_tests  # noqa: PLC0415
    from speedup.scaling.readers import runs_of_profile  # noqa: PLC0415
    from speedup.scaling.step import AllReduceStep, link_priors  # noqa: PLC0415

    link = None if nccl is None else fit_link(read_nccl_tests(nccl))
    if profile is None:
        return runs, link, model
    known = Profile.load(profile)
    alone = runs_of_profile(known, servers=float(runs.servers.max()))
    ours = model == "speedup" or (model is None and not runs.servers.any())
    if link is None or not ours:
        return runs.joined(alone), link, model
    return runs.joined(alone), link, AllReduceStep(known=link_priors(link, known.workload.payload_bytes))
