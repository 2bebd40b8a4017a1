"""What a server keeps on disk: its weights, the optimizer's state for them, and how many updates they have had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax

from speedup.files import FileError

from ..training import checkpoint

if TYPE_CHECKING:
    from .job import Training
    from .layout import Layout

_KEPT = 2
"""Servers write at slightly different times: of two, one is common to all of them."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """The checkpoints of one process.

    Attributes:
        folder: Where they are.
        name: What those of this process are called.
        every: Updates between two.
        identity: What they belong to: network, algorithm and layout.
    """

    folder: Path
    name: str
    every: int
    identity: dict[str, Any]

    @classmethod
    def of(cls, training: Training, rank: int, layout: Layout) -> Checkpoints | None:
        """Return the checkpoints that a job asks for; None for none.

        Raises:
            FileError: The folder cannot be made.
        """
        if training.checkpoint is None:
            return None
        folder = Path(training.checkpoint)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"{folder}: {error.strerror}. Name another folder for checkpoints.") from None
        identity = {
            "network": training.architecture,
            "algorithm": training.algorithm,
            "layout": [int(bound) for bound in layout.bounds],
        }
        return cls(folder, f"rank{rank}", training.every, identity)

    def counts(self) -> list[int]:
        """Return after how many updates there are checkpoints."""
        pattern = re.compile(rf"{self.name}-(\d+)\.msgpack")
        return sorted(int(found[1]) for path in self.folder.iterdir() if (found := pattern.fullmatch(path.name)))

    def _path(self, updates: int) -> Path:
        return self.folder / f"{self.name}-{updates}.msgpack"

    def offer(self, updates: int, state: Any) -> None:  # noqa: ANN401 - a pytree
        """Write a checkpoint if one is due."""
        if updates % self.every == 0:
            self.write(updates, state)

    def write(self, updates: int, state: Any) -> None:  # noqa: ANN401 - a pytree
        """Write a checkpoint, and remove those before the last two."""
        checkpoint.save(self._path(updates), self.identity, jax.tree.leaves(state))
        for old in self.counts()[:-_KEPT]:
            self._path(old).unlink(missing_ok=True)

    def load(self, updates: int, state: Any) -> Any:  # noqa: ANN401 - a pytree
        """Return the state after so many updates, with the structure of the one given.

        Raises:
            FileError: The file is damaged, or belongs to another training.
        """
        own, structure = jax.tree.flatten(state)
        leaves, _ = checkpoint.load(self._path(updates), self.identity, own)
        return jax.tree.unflatten(structure, leaves)
