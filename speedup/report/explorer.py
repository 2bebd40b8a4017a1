"""The sliders of the report alone, for a profile, in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speedup.files import check_writable
from speedup.recommendation import recommend
from speedup.report.page import write_explorer

if TYPE_CHECKING:
    from speedup.profile import Profile

EXPLORER = Path("speedup-explorer.html")
MAX_WORKERS = 64


def explore(
    profile: Profile | str | Path | None = None,
    out: str | Path = EXPLORER,
    *,
    show: bool = True,
    **options: Any,  # noqa: ANN401 - what recommend takes
) -> Path:
    """Write a page with sliders for a profile's times, links and counts, and open it.

    Args:
        profile: Profile, name of a shipped one, or path of a file.
        out: Where the page goes.
        show: Whether to open it in the browser.
        **options: Those of ``recommend``; up to 64 workers are considered unless said otherwise.

    Returns:
        The path of the page.

    Raises:
        SpeedupError: As ``recommend``; a ``FileError`` if the page cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     explore("resnet34", folder + "/a.html", show=False, network="10gbit").name
        'a.html'
    """
    target = check_writable(out)
    if options.get("workers") is None and options.get("max_workers") is None:
        options["max_workers"] = MAX_WORKERS
    page = write_explorer(recommend(profile, **options), target)
    if show:
        webbrowser.open(page.resolve().as_uri())
    return page
