"""A choice beside the table it was made from, and the words for a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from speedup.estimates import estimate_plan
from speedup.plans import Schedule, ServerKind, UpdateMode
from speedup.tables import FORMULAS, Estimate, EstimateTable
from speedup.units import show_seconds

if TYPE_CHECKING:
    from speedup.inputs import Inputs


@dataclass(frozen=True, slots=True)
class Case:
    """A choice and the table it was made from."""

    choice: Estimate
    table: EstimateTable

    @property
    def inputs(self) -> Inputs:
        """The two times of the model."""
        return self.table.inputs

    @property
    def family(self) -> EstimateTable:
        """The rows that differ from the choice in the number of workers only."""
        return self.table.take(self.table.family == self.table.index_of(self.choice))

    @property
    def formulas(self) -> str:
        """The formulas in place of the table's method where an equation is solved or thousands of counts are tried."""
        return self.table.method if self.table.method in FORMULAS else "exact"

    def variant(self, **changes: Any) -> Estimate:  # noqa: ANN401 - the fields of Plan
        """Return the chosen plan with some of its fields changed."""
        choice = self.choice
        return estimate_plan(replace(choice.plan, **changes), self.inputs, choice.batches, self.table.method)


def describe(plan: Estimate) -> str:
    """Name a plan in words."""
    if plan.mode is UpdateMode.SEQUENTIAL:
        return "one worker alone"
    return f"{plan.workers} worker{'s' if plan.workers != 1 else ''}, {plan.mode}, {_server_words(plan)}"


def _server_words(plan: Estimate) -> str:
    if plan.server is ServerKind.ALLREDUCE:
        return f"all-reduce ({plan.collective})"
    if plan.server is ServerKind.BYTEPS:
        return f"summed by the workers and {plan.servers} machines more"
    if plan.server is ServerKind.SHARDED:
        shared = " pipelined" if plan.schedule is Schedule.PIPELINED else ""
        return f"{plan.servers}{shared} shard{'s' if plan.servers != 1 else ''}"
    return f"{plan.server} server" + (" with semaphore" if plan.schedule is Schedule.SEMAPHORE else "")


def transfer_words(inputs: Inputs) -> str:
    """Say what a transfer takes, each way where they differ."""
    if not inputs.apart:
        return f"t_comm = {show_seconds(inputs.t_comm_s)}"
    return f"t_up = {show_seconds(inputs.t_up_s)}, t_down = {show_seconds(inputs.t_down_s)}"
