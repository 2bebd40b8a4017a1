"""The command ``train``: one device, real images, the algorithms of the sources."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - the parser reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from speedup.errors import PlanError
from speedup.files import check_writable, write_rows
from speedup.text import aligned
from speedup.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEAD = ("epoch", "loss", "test accuracy", "t_grad", "weights", "payload", "memory", "time")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class How:
    """How it is trained."""

    algorithm: Annotated[str, Parameter(help="Training algorithm (speedup algorithms).")] = "sgd"
    data: Annotated[
        Literal["mnist", "fashion_mnist", "cifar10", "digits", "synthetic"], Parameter(help="Data set.")
    ] = "synthetic"
    unit: Annotated[bool, Parameter(help="Bring pixels between 0 and 1, as the sources do; else standardised.")] = False
    train_samples: Annotated[
        int | None, Parameter(help="Training samples, the first ones; all that are not held out if left out.")
    ] = None
    held_out: Annotated[
        int | None, Parameter(help="Training samples after those to test with; the test samples if left out.")
    ] = None
    batch: Annotated[int | None, Parameter(help="Samples in a batch; the architecture's own if left out.")] = None
    persistency: Annotated[
        int | None, Parameter(help="Updates on each batch before the next; the algorithm's own if left out.")
    ] = None
    epochs: Annotated[int, Parameter(help="Passes over the training samples.")] = 10
    learning_rate: Annotated[float | None, Parameter(help="The algorithm's usual one if left out.")] = None
    schedule: Annotated[
        Literal["constant", "cosine", "steps"],
        Parameter(help="Of the learning rate; steps: a tenth after 40 % of all updates, a hundredth after 70 %."),
    ] = "constant"
    momentum: Annotated[float | None, Parameter(help="Decay of the velocity; 0.9 if left out.")] = None
    strength: Annotated[
        float | None, Parameter(help="Weight of the expected number of weights in the loss (l0, l0_hard).")
    ] = None
    rule: Annotated[Literal["test-gate", "map"], Parameter(help="When l0_hard takes a unit out.")] = "test-gate"
    prune_from: Annotated[int, Parameter(help="First epoch at whose end it does.")] = 1
    shrink: Annotated[
        Literal["pays", "always", "never"], Parameter(help="When l0_hard's arrays lose the units that are off.")
    ] = "pays"
    seed: Annotated[int, Parameter(help="Of weights, noise and the order of samples.")] = 0
    noise_scale: Annotated[
        bool, Parameter(help="Measure the gradient noise scale, up to which larger batches need fewer steps.")
    ] = False


_HOW = How()


def train(
    network: Annotated[str, Parameter(help="Architecture (speedup models).")],
    /,
    *,
    data_folder: Annotated[Path | None, Parameter(help="Where the data's files are; SPEEDUP_DATA if left out.")] = None,
    checkpoint: Annotated[Path | None, Parameter(help="File for a checkpoint after each epoch.")] = None,
    resume: Annotated[bool, Parameter(help="Go on from the checkpoint.")] = False,
    out: Annotated[Path | None, Parameter(name=["--out", "-o"], help="CSV file for the rows.")] = None,
    profile: Annotated[
        Path | None, Parameter(help="Profile file for the training as it was, phase by phase, for recommend.")
    ] = None,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="No progress.")] = False,
    json_: Annotated[bool, Parameter(name="--json", help="One JSON document.")] = False,
    how: How = _HOW,
) -> None:
    """Train on this device, and tell what each epoch cost and reached."""
    from speedup.bridge import load_learning  # noqa: PLC0415

    learning = load_learning()
    if resume and checkpoint is None:
        raise PlanError("--resume goes on from a checkpoint; name its file with --checkpoint.")
    for path in (checkpoint, out, profile):
        if path is not None:
            check_writable(path)
    settings = learning.Settings(network=network, folder=None if data_folder is None else str(data_folder), **vars(how))

    def tell(row: Any) -> None:  # noqa: ANN401 - a calibrate.learning.Epoch
        if not quiet:
            print(
                f"epoch {row.epoch} of {how.epochs}: loss {row.loss:.4f}, test accuracy {row.test_accuracy:.2%}, "
                f"{row.weights:,} weights, {show_seconds(row.time_s)}{_noise(row.to_dict(), ', noise scale ')}",
                file=sys.stderr,
                flush=True,
            )

    learner = learning.Learner(settings)
    if learner.note:
        print(f"note: {learner.note}", file=sys.stderr)
    found = [row.to_dict() for row in learner.train(checkpoint, resume=resume, on_epoch=tell)]
    noise = None if learner.noise is None else learner.noise.over_run()
    if out is not None:
        write_rows(out, found)
    if profile is not None:
        learning.learned_profile(learner).save(profile)
        print(f"saved {profile}", file=sys.stderr)
    if json_:
        about = {"schema": "speedup.training/1", "settings": settings.to_dict(), "note": learner.note}
        whole = {} if noise is None else {"noise_scale": noise.to_dict()}
        print(json.dumps({**about, "epochs": found, **whole}, indent=1))
        return
    print("\n".join([*_table(found), *([] if noise is None else [str(noise)])]))


def _noise(row: dict[str, Any], before: str = "") -> str:
    """Return the noise scale of an epoch; nothing where none was measured."""
    if "noise_scale_low" not in row:
        return ""
    if row["noise_scale"] is None:
        return f"{before}not resolved"
    high = "inf" if row["noise_scale_high"] is None else f"{row['noise_scale_high']:.3g}"
    return f"{before}{row['noise_scale']:.3g} [{row['noise_scale_low']:.3g}, {high}]"


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    cells = [
        (
            str(row["epoch"]),
            f"{row['loss']:.4f}",
            f"{row['test_accuracy']:.2%}",
            show_seconds(row["t_grad_s"]),
            f"{row['weights']:,}",
            show_bytes(row["payload_bytes"]),
            show_bytes(row["memory_bytes"]),
            show_seconds(row["time_s"]),
            *([_noise(row)] if _noise(row) else []),
        )
        for row in rows
    ]
    return aligned([(*_HEAD, "noise scale")[: len(cells[0])], *cells])
