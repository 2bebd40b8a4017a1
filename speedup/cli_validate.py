"""The command ``validate``: predictions against published measurements, or against a cluster."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - the parser reads the annotations
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from speedup.files import check_writable, write_rows

if TYPE_CHECKING:
    from speedup.published.trials import Trial

validate = App(
    name="validate",
    help="Judge models on measurements that others published; ends with 1 when a stated accuracy does not hold.",
    default_parameter=Parameter(negative=()),
)
validate.command("speedup.cli_cluster:validate_cluster", name="cluster")

BROKEN = 1
"""Exit code when a stated accuracy does not hold."""


@validate.default
def validate_published(
    *,
    source: Annotated[
        list[Literal["pollux-aws", "mxnet-grid", "cm-dare", "scaling"]] | None,
        Parameter(consume_multiple=True, help="Measurements to judge on; all if left out."),
    ] = None,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="CSV file for the scores.")] = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="No progress.")] = False,
    json_: Annotated[bool, Parameter(name="--json", help="One JSON document.")] = False,
) -> int:
    """Fit every model, ours and others', to parts of published measurements, and judge what it says of the rest.

    Ends with 1 when a stated accuracy does not hold. ``validate cluster`` runs plans for real.
    """
    # Matrices are small: threads that wait for each other on a busy machine only cost time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from speedup.published.accuracy import sentence  # noqa: PLC0415
    from speedup.published.leaderboard import judge_all  # noqa: PLC0415

    if out is not None:
        check_writable(out)
    board = judge_all(source, on_trial=None if quiet else _tell)
    print(board.to_json() if json_ else board)
    if out is not None:
        print(f"saved {write_rows(out, [asdict(score) for score in board.scores])}", file=sys.stderr)
    for one in board.broken:
        print(f"error: {sentence(one)}", file=sys.stderr)
    return BROKEN if board.broken else 0


def _tell(number: int, count: int, trial: Trial) -> None:
    print(f"{number}/{count} {trial.source}: {trial.split}", file=sys.stderr, flush=True)
