"""Write the pages of the docs that are made of the code's own facts and of results.

Run it after a change of either:  python docs/generate
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from batch_sizes_page import batch_sizes
from cluster_page import cluster
from edge_popup_page import edge_popup
from formula_pages import calibrations, equations, semaphore, thesis
from gallery_page import gallery
from noise_scale_page import noise_scale
from optimizers_page import optimizers
from payloads_page import payloads
from pruning_page import pruning
from reference_pages import cli, encodings, profile_schema
from validation_page import validation

from speedup.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable

PAGES: dict[str, Callable[[], str]] = {
    "equations.md": equations,
    "thesis.md": thesis,
    "calibrations.md": calibrations,
    "batch_sizes.md": batch_sizes,
    "semaphore.md": semaphore,
    "cluster.md": cluster,
    "pruning.md": pruning,
    "payloads.md": payloads,
    "edge_popup.md": edge_popup,
    "optimizers.md": optimizers,
    "validation.md": validation,
    "noise_scale.md": noise_scale,
    "gallery.md": gallery,
    "cli.md": cli,
    "encodings.md": encodings,
    "schemas/profile.json": profile_schema,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        print(write_atomically(Path(__file__).parents[1] / name, page()))


if __name__ == "__main__":
    main()
