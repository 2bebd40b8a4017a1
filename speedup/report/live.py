"""The model as one document that the page's script reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.doubts import doubts_of
from speedup.figures.kinds import label_of
from speedup.figures.servers import LOOK
from speedup.formulas import symbols
from speedup.formulas.symbols import D, N, t_comm, t_down, t_up
from speedup.plans import ServerKind, UpdateMode
from speedup.report.javascript import functions
from speedup.units import show_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.goals import Goal
    from speedup.inputs import Inputs
    from speedup.phases import Part
    from speedup.recommendation import Recommendation
    from speedup.report.model import LiveKind, LiveModel

# What the script works out itself, from the sliders.
_MOVED = {N, D, t_comm, t_up, t_down, symbols.t_intra}
DRAWS = 200
_EVALUATIONS = 60_000
_SEED = 28


def formulas_script(model: LiveModel) -> str:
    """Return the formulas of all kinds of plan as JavaScript, in the order in which ``document`` numbers them."""
    return functions(one for kind in model.kinds for one in kind.formulas)


def document(answer: Recommendation, model: LiveModel) -> dict[str, Any]:
    """Return what the page's script computes with."""
    table = model.table
    return {
        "counts": model.counts.tolist(),
        "batches": table.batches,
        "t_grad": table.t_grad_s,
        "kinds": _kinds(answer, model),
        "parts": [_part(model, part) for part in model.course.parts],
        "sliders": sliders(model),
        "goal": _goal(answer),
        "draws": _draws(table.inputs, len(model.counts) * len(model.course.parts)),
    }


def _plain(value: float | NDArray[Any]) -> Any:  # noqa: ANN401 - a number, or a list of them
    many = np.asarray(value, dtype=np.float64)
    if many.ndim and many.size and (many == many[0]).all():
        return float(many[0])
    return many.tolist()


def _kinds(answer: Recommendation, model: LiveModel) -> list[dict[str, Any]]:
    found, first = [], 0
    servers = [one for one in LOOK if one in {kind.family.server for kind in model.kinds} | {ServerKind.NONE}]
    for kind in model.kinds:
        found.append(
            {
                "label": label_of(kind.computed),
                "server": servers.index(kind.family.server),
                "words": list(kind.words),
                "formulas": list(range(first, first + len(kind.formulas))),
                "moves": kind.moves,
                "split": kind.family.mode is UpdateMode.SYNC_SPLIT,
                "alone": kind.family.mode is UpdateMode.SEQUENTIAL,
                **_worth(answer, model, kind),
            }
        )
        first += len(kind.formulas)
    return found


def _worth(answer: Recommendation, model: LiveModel, kind: LiveKind) -> dict[str, Any]:
    """Return at which counts a kind is, and what turns its time into what it is worth there."""
    rows = model.rows(kind)
    there = rows >= 0
    worth: dict[str, Any] = {"there": [int(one) for one in there], "later": 1.0, "price": 0.0, "fits": 1.0}
    if answer.field is None or not there.any():
        return worth
    judged, time_s = answer.field.judged, model.table.time_s
    safe = np.where(there, rows, rows[there][0])
    worth["later"] = _plain(judged.time_s[safe] / time_s[safe])
    if judged.cost is not None:
        worth["price"] = _plain(judged.cost[safe] / judged.time_s[safe])
    if judged.room is not None:
        worth["fits"] = _plain(judged.room.feasible[safe])
    return worth


def _part(model: LiveModel, part: Part) -> dict[str, Any]:
    inputs, _ = model.centred(part.inputs)
    return {
        "batches": part.batches,
        "latency": inputs.latency_s,
        "up": inputs.t_up_s,
        "down": inputs.t_down_s,
        "codec": inputs.t_codec_s,
        "intra": inputs.practice.t_intra_s,
        "t_grad": model.t_grad_s(part),
        "kinds": [
            {
                symbol.name: _plain(value)
                for symbol, value in model.values(kind, part).items()
                if symbol not in _MOVED and not (kind.sharded and symbol == symbols.k)
            }
            for kind in model.kinds
        ],
    }


def sliders(model: LiveModel) -> list[dict[str, Any]]:
    """Return the sliders: name, label, how its number is written, where it starts, and how many steps to each side.

    Where the payload is known, what a transfer takes is told by it and a bandwidth; else by t_comm itself.
    """
    inputs, mean = model.table.inputs, ", mean of the phases" if len(model.course.parts) > 1 else ""
    alone = [_slider("t_comm", "t_comm", "s", model.table.t_comm_s)]
    moving = alone if inputs.profile is None else _of_link(inputs, model)
    found = [*moving, _slider("t_grad", f"t_grad, gradient of one batch{mean}", "s", model.table.t_grad_s)]
    counts = model.counts.tolist()
    found.append({"id": "workers", "label": "Workers, at most N", "unit": "", "start": counts[-1], "of": counts})
    if any(kind.sharded for kind in model.kinds):
        shards, most = inputs.practice.shards, max(counts)
        steps = sorted({*(one for one in counts if one <= most), shards or most})
        found.append({"id": "shards", "label": "Shards k", "unit": "k", "start": shards or most, "of": steps})
    return found


def _slider(identity: str, label: str, unit: str, start: float) -> dict[str, Any]:
    return {"id": identity, "label": label, "unit": unit, "start": start}


def _of_link(inputs: Inputs, model: LiveModel) -> list[dict[str, Any]]:
    sent = inputs.traffic
    load = inputs.profile.workload if inputs.profile else None
    payload = (sent.up_bytes + sent.down_bytes) / 2 if sent else load.payload_bytes if load else 0
    implied = payload / (model.table.t_comm_s - inputs.latency_s)
    rate = inputs.link.bandwidth_bytes_per_s if inputs.link else implied
    said = "Bandwidth" if inputs.link else f"Bandwidth that t_comm = {show_seconds(model.table.t_comm_s)} stands for"
    first = " at first" if len(model.course.parts) > 1 else ""
    what = f"Payload{first}, mean of both ways" if sent else f"Payload{first}, each way"
    return [_slider("bandwidth", said, "B/s", rate), _slider("payload", what, "B", payload)]


def differs_from_run(goal: Goal) -> bool:
    """Return whether what counts is another time than that of the run."""
    return goal.to_target or goal.failures is not None


def _goal(answer: Recommendation) -> dict[str, Any]:
    goal = answer.goal
    finite = {
        name: value if np.isfinite(value) else None
        for name, value in (("deadline", goal.deadline_s), ("budget", goal.budget))
    }
    batch = answer.outcomes[0].batch if answer.outcomes else None
    return {
        "plain": goal.by_time,
        "cost": goal.counts_cost,
        "later": differs_from_run(goal),
        "priced": goal.price is not None,
        "until": "to the target" if goal.to_target else f"for {answer.choice.batches} batches",
        "batch": "" if batch is None else f" with batches of {batch}",
        "least": goal.min_efficiency,
        **finite,
    }


def _draws(inputs: Inputs, evaluations: int) -> list[list[float]]:
    """Return factors of t_grad and of t_comm that their doubts make likely."""
    doubts = doubts_of(inputs)
    count = min(DRAWS, max(20, _EVALUATIONS // evaluations))
    normal = np.random.default_rng(_SEED).standard_normal((count, 2))
    factors = np.exp(normal * [doubts.t_grad, doubts.t_comm]) * [1.0, doubts.t_comm_median]
    return [[float(f"{one:.6g}") for one in row] for row in factors]
