"""Plans that are compared, of one batch size or of several: their tables one after another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from speedup.inputs import Inputs
    from speedup.phases import Part
    from speedup.tables import Estimate, EstimateTable, Family, Floats, Integers


@dataclass(frozen=True, eq=False)
class Rivals:
    """Plans of tables that have inputs of their own; rows count through all tables.

    Attributes:
        tables: The tables, one a batch size.
        parts: The parts of the run of each.
    """

    tables: tuple[EstimateTable, ...]
    parts: tuple[Sequence[Part], ...]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, row: int) -> Estimate:
        size = int(self.size[row])
        return self.tables[size][row - int(self._ends[size])]

    @cached_property
    def _ends(self) -> Integers:
        return np.cumsum([0, *map(len, self.tables)])

    @property
    def inputs(self) -> tuple[Inputs, ...]:
        """The times of each table."""
        return tuple(table.inputs for table in self.tables)

    def batch(self, row: int) -> int | None:
        """Return the samples of a batch of a row, where there are several tables."""
        return self.tables[int(self.size[row])].inputs.batch if len(self.tables) > 1 else None

    def by_table(self, value: Callable[[EstimateTable], NDArray[Any]]) -> NDArray[Any]:
        """Return something that each row of a table has, of all rows."""
        return np.concatenate([value(table) for table in self.tables])

    @cached_property
    def size(self) -> Integers:
        """Index of the table, one a row."""
        return np.repeat(np.arange(len(self.tables)), np.diff(self._ends))

    @cached_property
    def families(self) -> tuple[tuple[int, Family], ...]:
        """The kinds of plan of each table, with the index of that."""
        return tuple((size, family) for size, table in enumerate(self.tables) for family in table.families)

    @cached_property
    def family(self) -> Integers:
        """Index into ``families``, one a row."""
        counts = np.cumsum([0, *(len(table.families) for table in self.tables)])
        own = [table.family.astype(np.int64) + first for table, first in zip(self.tables, counts, strict=False)]
        return np.concatenate(own)

    @cached_property
    def workers(self) -> Integers:
        """N, one a row."""
        return self.by_table(lambda table: table.workers)

    @cached_property
    def time_s(self) -> Floats:
        """Time of the whole run [s], one a row."""
        return self.by_table(lambda table: table.time_s)

    @cached_property
    def alone(self) -> NDArray[np.bool_]:
        """Which rows are one worker that sends nothing: what was measured, without any model."""
        return self.by_table(lambda table: (table.workers == 1) & (table.move_s == 0))

    @cached_property
    def kinds(self) -> Integers:
        """Which kind of plan each row is, as far as the model errs, whatever its batch; -1 for one worker alone."""
        known = {one: index for index, one in enumerate(dict.fromkeys(family for _, family in self.families))}
        of_family = np.array([known[family] for _, family in self.families])
        return np.where(self.alone, -1, of_family[self.family])
