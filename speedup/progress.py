"""Progress of a calibration on standard error: a bar on a terminal, one line a stage elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _detail(progress: Any) -> str:  # noqa: ANN401 - calibrate.timing.sampler.Progress, which speedup must not import
    if progress.median_s is None:
        return ""
    width = "" if progress.relative_half_width is None else f" +-{progress.relative_half_width:.1%}"
    return f"{progress.samples} sample{'s' if progress.samples != 1 else ''}, {show_seconds(progress.median_s)}{width}"


@contextmanager
def showing_progress(*, quiet: bool = False) -> Iterator[Callable[[Any], None] | None]:
    """Give a function that shows each ``Progress`` it is called with; None if nothing is to be shown."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


@contextmanager
def _bar() -> Iterator[Callable[[Any], None]]:
    from rich.console import Console  # noqa: PLC0415 - slow, and only a terminal needs it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:>8}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[detail]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("start", total=1.0, left="", detail="")

        def show(progress: Any) -> None:  # noqa: ANN401 - see _detail
            left = f"{show_seconds(progress.remaining_s)} left" if progress.remaining_s else ""
            words = progress.label or str(progress.stage)
            bar.update(task, completed=progress.fraction, description=words, left=left, detail=_detail(progress))

        yield show


def _lines() -> Callable[[Any], None]:
    shown: list[str] = []

    def show(progress: Any) -> None:  # noqa: ANN401 - see _detail
        # Of many calibrations, each prints a line of its own when it ends.
        if not progress.label and str(progress.stage) not in shown:
            shown.append(str(progress.stage))
            print(f"{progress.stage} {_detail(progress)}".rstrip(), file=sys.stderr, flush=True)

    return show
