"""What a server keeps on disk: its weights, the optimizer's state for them, and how many updates they have had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from speedup.files import FileError, write_bytes_atomically

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
    identity: str

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
        identity = f"{training.architecture} {training.algorithm} {list(layout.bounds)}"
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
        leaves = {str(place): np.asarray(leaf) for place, leaf in enumerate(jax.tree.leaves(state))}
        content = serialization.msgpack_serialize({"identity": self.identity, "updates": updates, "leaves": leaves})
        write_bytes_atomically(self._path(updates), content)
        for old in self.counts()[:-_KEPT]:
            self._path(old).unlink(missing_ok=True)

    def load(self, updates: int, state: Any) -> Any:  # noqa: ANN401 - a pytree
        """Return the state after so many updates, with the structure of the one given.

        Raises:
            FileError: The file is damaged, or belongs to another training.
        """
        path = self._path(updates)
        try:
            document = serialization.msgpack_restore(path.read_bytes())
            identity, found = document["identity"], document["leaves"]
            leaves = [jnp.asarray(found[str(place)]) for place in range(len(found))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(
                f"checkpoint {path} cannot be read ({error}). Remove it to start from the one before."
            ) from None
        if identity != self.identity:
            raise FileError(
                f"checkpoint {path} is of another training ({identity}), not of {self.identity}. Name another folder."
            )
        return jax.tree.unflatten(jax.tree.structure(state), leaves)
