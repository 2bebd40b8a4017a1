"""Which kinds of plan the user's words name."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from speedup.errors import PlanError, suggestion
from speedup.plans import (
    COLLECTIVES,
    DEFAULT_SERVERS,
    SCHEDULES,
    SERVERS,
    SHARDED_SCHEDULES,
    SIMULATED_SCHEDULES,
    SIMULATED_SERVERS,
    THESIS_SCHEDULES,
    THESIS_SERVERS,
    TRAINING_MODES,
    Collective,
    PlacementRule,
    Schedule,
    ServerKind,
    UpdateMode,
    one_of,
    some_of,
)
from speedup.tables import FORMULAS, Family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speedup.practice import Practice

METHODS = ("auto", "queueing", "simulation", *FORMULAS)
AVERAGED = (Schedule.BEST, Schedule.WORST, Schedule.MEAN)
"""Schedules that are cases of a formula, not rules by which a link can be shared."""
EXPECTED = "expected"
"""In the place of schedules: what to expect of a server whose transfers nothing orders."""


def check_method(method: str) -> str:
    """Return a method that exists.

    Raises:
        PlanError: It does not.
    """
    if method not in METHODS:
        hint = suggestion(method, METHODS)
        raise PlanError(f'method = "{method}" is unknown. {hint}Allowed: {", ".join(METHODS)}.')
    return method


def _schedules(words: str | Iterable[str] | None, method: str, *, varies: bool) -> tuple[Schedule, ...]:
    """Return the schedules that words name.

    With constant times, fair sharing keeps the workers in step for ever, which the least spread would end: there the
    thesis's cases are shown, and its mean is what to expect (ADR 0013).
    """
    spread = method in {"queueing", "simulation"} or (method == "auto" and varies)
    if words is None:
        return SIMULATED_SCHEDULES if spread else THESIS_SCHEDULES
    if words == EXPECTED:
        return (Schedule.FAIR if spread else Schedule.MEAN,)
    return some_of("schedules", words, SCHEDULES)


def _servers(words: str | Iterable[str] | None, method: str, practice: Practice) -> tuple[ServerKind, ...]:
    """Return the servers that words name; by default all that the method has and that need no number nobody gave."""
    of_method = {"thesis": THESIS_SERVERS, "simulation": SIMULATED_SERVERS}.get(method, SERVERS)
    chosen = some_of("servers", words, SERVERS) if words is not None else None
    for one in chosen or ():
        if one not in of_method:
            raise PlanError(
                f'server = "{one}" is not in method = "{method}", which has {", ".join(of_method)}. Use method="auto".'
            )
    if chosen is not None:
        return chosen
    usual = SERVERS if practice.shards is not None else DEFAULT_SERVERS
    return tuple(one for one in usual if one in of_method)


def _modes(words: str | Iterable[str] | None, practice: Practice) -> tuple[UpdateMode, ...]:
    chosen = some_of("modes", words, TRAINING_MODES)
    if not practice.in_step:
        return chosen
    in_step = tuple(one for one in chosen if one is not UpdateMode.ASYNC)
    if not in_step:
        raise PlanError(
            "overlap, per_machine, local_steps and backup are of iterations that all workers take part in; "
            'mode = "async" has none. Leave them out, or take sync-join or sync-split.'
        )
    return in_step


def _of_server(
    server: ServerKind, schedules: tuple[Schedule, ...], collectives: tuple[Collective, ...]
) -> list[tuple[Schedule, Collective]]:
    """Return how the links of a server can be shared, among the schedules and collectives named."""
    if server is ServerKind.ALLREDUCE:
        return [(Schedule.NONE, one) for one in collectives]
    shared: dict[ServerKind, list[Schedule]] = {
        ServerKind.CENTRAL: [one for one in schedules if one is not Schedule.PIPELINED],
        ServerKind.SHARDED: [one for one in schedules if one in SHARDED_SCHEDULES] or [Schedule.FAIR],
        ServerKind.BYTEPS: [Schedule.PIPELINED],
    }
    return [(one, Collective.NONE) for one in shared.get(server, [Schedule.NONE])]


def plan_kinds(
    modes: tuple[UpdateMode, ...],
    servers: tuple[ServerKind, ...],
    schedules: tuple[Schedule, ...],
    collectives: tuple[Collective, ...] = (Collective.BEST,),
) -> list[Family]:
    """Return every kind of plan; an all-reduce, and workers who help to sum, are always in step."""
    found = []
    for mode, server in product(modes, servers):
        if mode is UpdateMode.ASYNC and server in {ServerKind.ALLREDUCE, ServerKind.BYTEPS}:
            continue
        found += [Family(mode, server, *refined) for refined in _of_server(server, schedules, collectives)]
    return found


def check_plan_words(
    modes: str | Iterable[str] | None,
    servers: str | Iterable[str] | None,
    schedules: str | Iterable[str] | None,
    method: str,
    placement: str,
    *,
    practice: Practice,
    collectives: str | Iterable[str] | None = Collective.BEST,
    varies: bool = False,
) -> tuple[list[Family], PlacementRule]:
    """Return the kinds of plan and the placement rule that the user's words name.

    Raises:
        PlanError: A word is unknown, or words do not go together.
    """
    chosen = _schedules(schedules, check_method(method), varies=varies)
    averaged = [str(one) for one in chosen if one in AVERAGED]
    if averaged and method in {"queueing", "simulation"}:
        raise PlanError(
            f'schedule = "{averaged[0]}" is a case of the thesis\'s formulas, not a way to share a link; '
            f'method = "{method}" has {", ".join(SIMULATED_SCHEDULES)}.'
        )
    if method in {"thesis", "simulation"} and not practice.usual:
        raise PlanError(
            f'method = "{method}" has no overlap, machines of several accelerators, local steps, backup or unequal '
            'workers, bounded staleness or servers that work. Use method="auto".'
        )
    chosen_servers = _servers(servers, method, practice)
    named = schedules is not None and schedules != EXPECTED
    if named and chosen_servers == (ServerKind.SHARDED,) and not set(chosen) & set(SHARDED_SCHEDULES):
        raise PlanError(
            f'schedule = "{chosen[0]}" belongs to a central server; a sharded one has {", ".join(SHARDED_SCHEDULES)}.'
        )
    kinds = plan_kinds(
        _modes(modes, practice),
        chosen_servers,
        chosen,
        some_of("collectives", collectives, COLLECTIVES),
    )
    if not kinds:
        raise PlanError(
            "these words leave no plan: an all-reduce, or workers who help to sum, are always in step (not async), and "
            "only sharded servers are pipelined."
        )
    return kinds, one_of("placement", placement, PlacementRule)
