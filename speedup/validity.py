"""What a recommendation rests on and where it stops, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup.cases import transfer_words
from speedup.cluster import MeasuredLink
from speedup.exchange import backward_share
from speedup.gradient_time import GradientTime
from speedup.plans import UpdateMode
from speedup.practice import BACKWARD, OverlapKind
from speedup.profile import Provenance
from speedup.tables import FORMULAS, Estimate, EstimateTable, Status
from speedup.units import show_bandwidth, show_bytes, show_seconds

if TYPE_CHECKING:
    from speedup.inputs import Inputs

_METHOD_WORDS = {
    "thesis": "formulas as printed",
    "exact": "whole batches",
    "closed-form": "whole batches",
    "mva": "queueing theory, within about 1 % of simulation",
    "recursion": "iterations drawn one by one",
    "simulation": "simulated event by event",
    "order-statistics": "the slowest of the workers, then the exchange's formula",
}


def _spread_words(table: EstimateTable) -> str:
    inputs = table.inputs
    if table.method in FORMULAS or not inputs.varies:
        return "with constant times"
    return f"whose t_grad varies by {inputs.grad_law.cv:.0%} and t_comm by {inputs.comm_law.cv:.0%} (cv)"


def validity(choice: Estimate, table: EstimateTable) -> tuple[str, ...]:
    """Return what the numbers rest on and where they stop."""
    inputs = table.inputs
    notes = [_t_grad_origin(inputs), _t_comm_origin(inputs)]
    notes.append(
        f"Model: equal workers and links {_spread_words(table)}, {_practice_words(inputs)}, weight update "
        f"at the server neglected; {_METHOD_WORDS[choice.method]}."
    )
    if table.phases:
        notes.append(
            f"These times are means over {len(table.phases)} phases, {table.phases[0]} to {table.phases[-1]}; each was "
            "estimated with its own, and all are added up."
        )
    notes += _encoding_notes(inputs)
    if choice.status is Status.ROUGH:
        notes.append('Status rough: no fast estimator is known to be safe here; method="simulation" is.')
    elif choice.status is not Status.OK:
        notes.append(
            f"Status {choice.status}: {choice.batches} batches on {choice.workers} workers do not come out "
            'whole; method="exact" counts whole batches.'
        )
    if choice.mode is UpdateMode.SYNC_SPLIT:
        notes.append(_part_of_a_batch(choice, inputs))
    if choice.mode is UpdateMode.SYNC_JOIN:
        notes.append(f"Speedup counts batches, not accuracy: an update here averages {choice.workers} batches.")
    if choice.mode is UpdateMode.ASYNC:
        notes.append(
            f"Speedup counts batches, not accuracy: gradients here are about {choice.workers - 1} updates old."
        )
    if choice.efficiency > 1:
        notes.append(
            "An efficiency above 100 % is no slip: a part of a batch takes less than its share of the time here."
        )
    return (*notes, *inputs.warnings, *(inputs.profile.warnings if inputs.profile else ()))


def _practice_words(inputs: Inputs) -> str:
    """Say what is done besides the plan."""
    practice = inputs.practice
    said = [
        f"overlap of transfers with the backward pass {practice.overlap}"
        if practice.overlap
        else "no overlap of transfers with computing"
    ]
    if practice.overlap and practice.overlap.kind is not OverlapKind.NORM:
        share = backward_share(inputs)
        said.append(f"whose share of t_grad is {share:.0%} ({'assumed' if share == BACKWARD else 'measured'})")
    if practice.per_machine > 1:
        within = f"{show_seconds(practice.t_intra_s)} a transfer inside" if practice.t_intra_s else "no time inside"
        said.append(f"{practice.per_machine} accelerators a machine, which share its link, {within}")
    if practice.local_steps > 1:
        said.append(f"an exchange every {practice.local_steps} steps")
    if practice.backup:
        said.append(f"{practice.backup} gradients of an iteration not waited for, and lost")
    return ", ".join(said)


def _encoding_notes(inputs: Inputs) -> list[str]:
    """Say what the encodings cost besides bytes."""
    sent = inputs.traffic
    notes = []
    if inputs.t_codec_s:
        notes.append(f"A worker takes {show_seconds(inputs.t_codec_s)} an iteration to encode and decode.")
    elif sent is not None and {sent.up.name, sent.down.name} != {"fp32"}:
        notes.append("Encoding and decoding take no time here; give t_codec if they do.")
    lossy = [one.name for one in dict.fromkeys((sent.up, sent.down)) if one.lossy] if sent else []
    if lossy:
        notes.append(f"What {' and '.join(lossy)} lose is not part of the speedup: it counts batches, not accuracy.")
    return notes


def _part_of_a_batch(choice: Estimate, inputs: Inputs) -> str:
    """Say what one worker's part of a batch takes, and how that is known."""
    part, sweep = inputs.part(choice.workers), inputs.gradient_time
    if part is None or sweep is None:
        return f"Assumes that 1/{choice.workers} of a batch takes 1/{choice.workers} of its time."
    said = (
        f"A worker computes ceil({inputs.batch}/{choice.workers}) = {part.batch} samples in {part}, "
        f"{part.median_s / choice.t_grad_s:.0%} of the time of a batch of {inputs.batch}"
    )
    if part.provenance is not Provenance.FITTED:
        return f"{said}: {part.provenance}."
    checked = f"held-out error {sweep.held_out_error}" if sweep.held_out_error else "too few batch sizes to check it"
    below = f" Extrapolated: the smallest measured batch size is {sweep.range[0]}." if part.extrapolated else ""
    return f"{said}: fitted, t = {sweep.formula}, {checked}.{below}"


def _t_grad_origin(inputs: Inputs) -> str:
    profile, time = inputs.profile, inputs.t_grad
    if profile is None or inputs.t_grad_given:
        known = profile.workload.batch if profile else None
        size = f", batch {time.batch}" if time.batch != known else ""
        return f"t_grad = {show_seconds(inputs.t_grad_s)}, {inputs.t_grad_from} (given){size}."
    said = f"t_grad = {time}, {inputs.t_grad_from} on {profile.device}, {_batch(inputs)}"
    measured = any(timing.batch == time.batch for timing in profile.t_grad)
    return f"{said}." if measured else f"{said}: {GradientTime.of(profile)}."


def _batch(inputs: Inputs) -> str:
    return f"batch {inputs.batch}" if inputs.batch else "batch size not stated"


def _t_comm_origin(inputs: Inputs) -> str:
    text = f"{transfer_words(inputs)}, {inputs.t_comm_from}"
    if inputs.link and inputs.profile:
        payload = show_bytes(inputs.profile.workload.payload_bytes)
        if inputs.traffic:
            payload = f"{show_bytes(inputs.traffic.up_bytes)} up and {show_bytes(inputs.traffic.down_bytes)} down"
        if isinstance(inputs.link, MeasuredLink):
            link = inputs.link
            rate = show_bandwidth(link.bandwidth_bytes_per_s)
            return f"{text}: {payload} over a measured link, {rate}, {link.wire}."
        return (
            f"{text}: {payload} over {inputs.link}, the full line rate; TCP over Ethernet delivers up to 94 % of it. "
            "Measure the link to be sure."
        )
    return f"{text} (given)." if inputs.t_comm_from is Provenance.ASSUMED else f"{text}."
