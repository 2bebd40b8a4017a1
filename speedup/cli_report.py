"""The commands ``report`` and ``explore``: an answer, or its sliders alone, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from speedup.cli_shared import (
    CONSIDERED,
    ESTIMATION,
    MODEL,
    WANTED,
    Considered,
    Estimation,
    Model,
    OptionalProfile,
    Wanted,
    asked,
)
from speedup.files import check_writable

Out = Annotated[Path, Parameter(name=["--out", "-o"], help="Where the page goes.")]


def report(
    profile: OptionalProfile = None,
    /,
    *,
    out: Out = Path("speedup-report.html"),
    considered: Considered = CONSIDERED,
    wanted: Wanted = WANTED,
    model: Model = MODEL,
    estimation: Estimation = ESTIMATION,
) -> None:
    """Write what recommend says as one page that needs no network: figures, sliders, formulas, origins."""
    import speedup  # noqa: PLC0415 - after the options are read

    target = check_writable(out)
    answer = speedup.recommend(profile, **asked(considered, wanted, model, estimation))
    print(f"{answer.headline}\n{answer.report(target)}")


def explore(
    profile: OptionalProfile = None,
    /,
    *,
    out: Out = Path("speedup-explorer.html"),
    no_open: Annotated[bool, Parameter(help="Only write the page.")] = False,
    considered: Considered = CONSIDERED,
    wanted: Wanted = WANTED,
    model: Model = MODEL,
    estimation: Estimation = ESTIMATION,
) -> None:
    """Open a page with sliders for the times, links and counts of a profile."""
    from speedup.report import explore as explored  # noqa: PLC0415 - likewise

    print(explored(profile, out, show=not no_open, **asked(considered, wanted, model, estimation)))
