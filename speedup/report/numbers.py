"""Where every number of an answer comes from, one a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup.cluster import MeasuredLink
from speedup.exchange import backward_share
from speedup.practice import BACKWARD, OverlapKind
from speedup.provenance import Provenance
from speedup.units import show_bandwidth, show_bytes, show_seconds

if TYPE_CHECKING:
    from speedup.goals import Goal
    from speedup.inputs import Inputs
    from speedup.laws import Law
    from speedup.recommendation import Recommendation

HEAD = ("number", "value", "provenance", "source")
Row = tuple[str, str, str, str]
_GIVEN = "given"


def origins(answer: Recommendation) -> list[Row]:
    """Return the numbers that an answer is computed from, with their provenance."""
    inputs = answer.table.inputs
    return [*_times(inputs), *_spreads(inputs), *_workload(answer), *_practice(inputs), *_wanted(answer.goal)]


def _times(inputs: Inputs) -> list[Row]:
    profile = inputs.profile
    own = profile is not None and not inputs.t_grad_given
    source = profile.source or f"profile {profile.name}" if own and profile else _GIVEN
    device = f", on {profile.device}" if own and profile else ""
    rows = [("t_grad", show_seconds(inputs.t_grad_s), str(inputs.t_grad_from), f"{source}{device}")]
    transfers = {"t_comm": inputs.t_comm_s}
    if inputs.apart:
        transfers = {"t_up": inputs.t_up_s, "t_down": inputs.t_down_s}
    rows += [
        (name, show_seconds(value), str(inputs.t_comm_from), _transfer_source(inputs))
        for name, value in transfers.items()
    ]
    link = inputs.link
    if link is not None:
        measured = isinstance(link, MeasuredLink)
        known = str(Provenance.MEASURED if measured else Provenance.ASSUMED)
        origin = "transfers over the link" if measured else "nominal line rate, given"
        rows.append(("bandwidth", show_bandwidth(link.bandwidth_bytes_per_s), known, origin))
        if link.latency_s:
            rows.append(("latency", show_seconds(link.latency_s), known, origin if measured else _GIVEN))
    if inputs.t_codec_s:
        rows.append(("t_codec", show_seconds(inputs.t_codec_s), str(Provenance.ASSUMED), _GIVEN))
    return rows


def _transfer_source(inputs: Inputs) -> str:
    if inputs.link is not None:
        return "payload over the bandwidth, and the latency"
    if inputs.profile is None or inputs.t_comm_from is Provenance.ASSUMED:
        return _GIVEN
    return inputs.profile.source or f"profile {inputs.profile.name}"


def _spreads(inputs: Inputs) -> list[Row]:
    doubt = inputs.doubt
    return [_spread("cv_grad", inputs.grad_law, doubt.cv_grad), _spread("cv_comm", inputs.comm_law, doubt.cv_comm)]


def _spread(name: str, law: Law, doubt: float) -> Row:
    if not law.cv:
        return (name, "0%", str(Provenance.ASSUMED), "constant times")
    # Only a spread that was worked out from samples has a doubt.
    known, source = (Provenance.MEASURED, "samples") if doubt else (Provenance.ASSUMED, _GIVEN)
    return (name, f"{law.cv:.1%}", str(known), source)


def _workload(answer: Recommendation) -> list[Row]:
    inputs, profile = answer.table.inputs, answer.table.inputs.profile
    rows = [("batches D", str(answer.table.batches), str(Provenance.ASSUMED), "length of the run, given or by default")]
    if profile is None:
        return rows
    load, sent = profile.workload, inputs.traffic
    tensors = f"{len(load.tensor_elements)} tensors of {load.architecture}, {load.precision}"
    counted = "counted"
    rows.append(("parameters", f"{load.parameters:,}", counted, tensors))
    rows.append(("payload", show_bytes(load.payload_bytes), counted, tensors))
    if sent is not None:
        rows.append(("bytes up", show_bytes(sent.up_bytes), counted, f"encoding {sent.up.name}"))
        rows.append(("bytes down", show_bytes(sent.down_bytes), counted, f"encoding {sent.down.name}"))
    if inputs.batch is not None:
        rows.append(("batch b", str(inputs.batch), str(inputs.t_grad_from), "samples of the batch that t_grad is of"))
    return rows


def _practice(inputs: Inputs) -> list[Row]:
    practice, assumed = inputs.practice, str(Provenance.ASSUMED)
    rows: list[Row] = []
    if practice.overlap:
        rows.append(("overlap", str(practice.overlap), assumed, _GIVEN))
        if practice.overlap.kind is not OverlapKind.NORM:
            share = backward_share(inputs)
            known = Provenance.ASSUMED if share == BACKWARD else Provenance.MEASURED
            rows.append(
                (
                    "backward pass in t_grad",
                    f"{share:.0%}",
                    str(known),
                    "twice the forward pass" if share == BACKWARD else "profile",
                )
            )
    if practice.per_machine > 1:
        rows.append(("accelerators a machine r", str(practice.per_machine), assumed, _GIVEN))
        rows.append(("transfer inside a machine", show_seconds(practice.t_intra_s), assumed, _GIVEN))
    counts = {"local steps H": practice.local_steps - 1, "backup workers B": practice.backup}
    shown = {"local steps H": practice.local_steps, "backup workers B": practice.backup}
    rows += [(name, str(shown[name]), assumed, _GIVEN) for name, used in counts.items() if used]
    if practice.shards is not None:
        rows.append(("shards k", str(practice.shards), assumed, _GIVEN))
    if practice.speeds:
        rows.append(("speeds of workers", ", ".join(f"{one:g}" for one in practice.speeds), assumed, _GIVEN))
    if practice.staleness is not None:
        rows.append(("staleness bound", str(practice.staleness), assumed, _GIVEN))
    times = {
        "work of a server for a gradient": practice.t_serve_s,
        "work of a server an iteration": practice.t_update_s,
    }
    return rows + [(name, show_seconds(value), assumed, _GIVEN) for name, value in times.items() if value]


def _wanted(goal: Goal) -> list[Row]:
    rows: list[Row] = []
    for name, price in (("price of a machine", goal.price), ("price of a server's machine", goal.server_price)):
        if price is not None and not (name.startswith("price of a s") and price == goal.price):
            rows.append((name, f"{price.per_hour:g} USD/h", str(price.provenance), price.source or str(price)))
    if goal.to_target and goal.noise_scale is not None:
        noise = goal.noise_scale
        rows.append(("noise scale B_n", f"{noise.value:.3g} samples", str(noise.provenance), str(noise)))
        rows.append(
            ("cost of staleness c", f"{goal.staleness.cost:g}", str(goal.staleness.provenance), str(goal.staleness))
        )
    if goal.failures is not None:
        rows.append(
            ("time to a failure", f"{goal.failures.mtbf_h:g} h", str(Provenance.ASSUMED), f"{_GIVEN}; {goal.failures}")
        )
    return rows
