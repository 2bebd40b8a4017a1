"""The commands ``calibrate`` and ``predict``: what a device takes for a gradient, measured or learnt from others."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from speedup.cli_shared import Json, fail
from speedup.errors import PlanError, UnstableTimingError
from speedup.files import check_writable

if TYPE_CHECKING:
    from speedup.profile import Profile


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class CalibrationOptions:
    """What is calibrated, and how long."""

    batch: Annotated[
        list[int] | None,
        Parameter(
            name=["--batch", "--batches"],
            consume_multiple=True,
            help="Samples in a batch, one or several; with several the profile estimates any batch size.",
        ),
    ] = None
    classes: Annotated[int | None, Parameter(help="Classes; the architecture's own number if left out.")] = None
    precision: Annotated[Literal["float32", "bfloat16"], Parameter(help="Type to compute in.")] = "float32"
    max_time_s: Annotated[
        float | None, Parameter(help="Stop sampling a batch size after this time [s]; 60, or 1.2 with --quick.")
    ] = None
    seed: Annotated[int, Parameter(help="Seed of the weights and of the synthetic batch.")] = 0


_CALIBRATION = CalibrationOptions()


def calibrate(
    *names: Annotated[str, Parameter(help="Architectures (speedup models).")],
    all_: Annotated[bool, Parameter(name="--all", help="All architectures.")] = False,
    algorithm: Annotated[
        list[str] | None,
        Parameter(
            name=["--algorithm", "--algorithms"],
            consume_multiple=True,
            help="Training algorithms (speedup algorithms); sgd for a name, with --all all of them.",
        ),
    ] = None,
    quick: Annotated[bool, Parameter(help="A second a point, one small batch, five algorithms.")] = False,
    resume: Annotated[bool, Parameter(help="Keep what an interrupted calibration has measured.")] = False,
    output: Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="File of a single profile, folder of several; the store (speedup profiles) if left out.",
        ),
    ] = None,
    quiet: Annotated[bool, Parameter(help="No progress.")] = False,
    json_: Json = False,
    options: CalibrationOptions = _CALIBRATION,
) -> int:
    """Measure t_grad of networks on this machine's device and save the profiles."""
    if not names and not all_:
        raise PlanError("name an architecture (speedup models), or calibrate --all.")
    if names and all_:
        raise PlanError(f'--all and "{names[0]}" were both given; drop one.')
    several = all_ or quick or resume or len(names) > 1 or len(algorithm or ()) > 1
    if several:
        return _calibrate_many(
            names or None, algorithm, output, options, quick=quick, resume=resume, quiet=quiet, json_=json_
        )
    return _calibrate_one(names[0], (algorithm or ["sgd"])[0], output, options, quiet=quiet, json_=json_)


def _calibrate_one(
    name: str, algorithm: str, output: Path | None, options: CalibrationOptions, *, quiet: bool, json_: bool
) -> int:
    import speedup  # noqa: PLC0415
    from speedup.interrupts import heeding_interrupts  # noqa: PLC0415
    from speedup.progress import showing_progress  # noqa: PLC0415
    from speedup.store import make_store  # noqa: PLC0415

    folder = Path() if output else make_store()
    if output is not None:
        check_writable(output)
    saved = list[Path]()

    def save(profile: Profile) -> None:
        saved.append(profile.save(output or folder / f"{profile.name}.json"))

    chosen = vars(options) | {"max_time_s": options.max_time_s or 60.0}
    try:
        with showing_progress(quiet=quiet) as shown, heeding_interrupts(shown) as on_progress:
            profile = speedup.calibrate(name, algorithm=algorithm, on_progress=on_progress, on_visit=save, **chosen)
    except KeyboardInterrupt:
        kept = f"what was measured is in {saved[-1]}." if saved else "nothing was written."
        return fail(f"interrupted; {kept}", 130)
    for warning in profile.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if json_:
        print(profile.to_json(), end="")
    else:
        for timing in profile.t_grad:
            print(f"t_grad {timing}, batch {timing.batch}, {profile.device}")
        print(f"saved {saved[-1]}")
    stable = all(timing.stable for timing in profile.t_grad)
    return 0 if stable else UnstableTimingError.exit_code


def _calibrate_many(
    names: tuple[str, ...] | None,
    algorithms: list[str] | None,
    output: Path | None,
    options: CalibrationOptions,
    *,
    quick: bool,
    resume: bool,
    quiet: bool,
    json_: bool,
) -> int:
    from speedup.bridge import calibrate_cells  # noqa: PLC0415
    from speedup.interrupts import heeding_interrupts  # noqa: PLC0415
    from speedup.outcomes import outcome_line, outcome_lines, outcome_row  # noqa: PLC0415
    from speedup.progress import showing_progress  # noqa: PLC0415
    from speedup.store import make_store  # noqa: PLC0415

    folder = make_store(output)
    rows = list[dict[str, Any]]()
    try:
        with showing_progress(quiet=quiet) as shown, heeding_interrupts(shown) as on_progress:
            outcomes = calibrate_cells(
                names, algorithms, folder, quick=quick, resume=resume, on_progress=on_progress, **vars(options)
            )
            for outcome in outcomes:
                rows.append(outcome_row(outcome))
                if not quiet:
                    print(outcome_line(rows[-1]), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return fail(f"interrupted; {len(rows)} finished profiles are in {folder}. Go on with --resume.", 130)
    if json_:
        print(json.dumps({"schema": "speedup.calibrations/1", "folder": str(folder), "calibrations": rows}, indent=1))
    else:
        print("\n".join(outcome_lines(rows)))
        print(f"saved in {folder}")
    return 4 if any(row["error"] for row in rows) else 0


def predict(
    name: Annotated[str, Parameter(help="Architecture (speedup models).")],
    /,
    *,
    batch: Annotated[int | None, Parameter(help="Samples in a batch; the architecture's default if left out.")] = None,
    profiles: Annotated[Path | None, Parameter(help="Folder of profiles; the store if left out.")] = None,
    json_: Json = False,
) -> None:
    """Predict t_grad of a network from others measured on this device, with the error to expect."""
    from speedup.bridge import predict as predicted  # noqa: PLC0415

    answer = predicted(name, batch, profiles)
    print(json.dumps(answer.to_dict(), indent=1) if json_ else answer)
