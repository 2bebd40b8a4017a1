"""What there is to choose from, as rows and as text: profiles, architectures, training algorithms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speedup.errors import ProfileError, UnitError
from speedup.payloads import ENCODINGS, payload_bytes
from speedup.profile import read_profile, shipped_paths
from speedup.store import stored_paths
from speedup.text import aligned
from speedup.units import show_bytes, show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from speedup.payloads import Encoding
    from speedup.profile import Profile, Workload

_SHOWN: dict[str, tuple[str, Callable[[Any], str]]] = {
    "parameters": ("parameters", "{:,}".format),
    "payload_bytes": ("payload", show_bytes),
    "forward_flops": ("forward FLOPs", "{:.3g}".format),
    "input_shape": ("input", lambda axes: "x".join(map(str, axes))),
    "default_batch": ("default batch", str),
    "batches": ("measured at", lambda sizes: " ".join(map(str, sizes)) or "-"),
    "t_grad_s": ("t_grad", show_seconds),
    "t_comm_s": ("t_comm", show_seconds),
}


def row_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows with the same keys as aligned text, the head first."""
    names = list(rows[0])
    head = tuple(_SHOWN.get(name, (name, str))[0] for name in names)
    return aligned([head, *(tuple(_cell(name, row[name]) for name in names) for row in rows)])


def _cell(name: str, value: Any) -> str:  # noqa: ANN401 - any cell
    return "-" if value is None else _SHOWN.get(name, (name, str))[1](value)


def profile_rows() -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for every shipped and stored profile, and what is wrong with those that cannot be read."""
    rows, faults = list[dict[str, Any]](), list[str]()
    for kept, paths in (("shipped", shipped_paths()), ("here", stored_paths())):
        for path in paths.values():
            try:
                rows.append(_profile_row(read_profile(path), kept))
            except ProfileError as error:
                faults.append(str(error))
    return rows, faults


def _profile_row(profile: Profile, kept: str) -> dict[str, Any]:
    load = profile.workload
    return {
        "name": profile.name,
        "algorithm": load.algorithm,
        "parameters": load.parameters,
        "payload_bytes": load.payload_bytes,
        "batch": load.batch,
        "batches": [timing.batch for timing in profile.t_grad if timing.batch],
        "t_grad_s": profile.t_grad_s,
        "t_comm_s": profile.t_comm.median_s if profile.t_comm else None,
        "provenance": str(profile.t_grad_timing.provenance),
        "device": str(profile.device),
        "kept": kept,
    }


def encoding_rows(load: Workload | None) -> list[dict[str, Any]]:
    """Return a row for every encoding: what it is for, and what it makes of a payload.

    Args:
        load: Whose payload; None for none.

    Example:
        >>> encoding_rows(None)[0]["name"]
        'fp32'
    """
    rows = [
        {"name": one.name, "for": str(one.use), "lossy": "yes" if one.lossy else "no", "sends": one.summary}
        for one in ENCODINGS.values()
    ]
    if load is None:
        return rows
    sizes = [_encoded(one, load) for one in ENCODINGS.values()]
    return [
        {**row, "payload_bytes": size, "share": None if size is None else f"{size / load.payload_bytes:.1%}"}
        for row, size in zip(rows, sizes, strict=True)
    ]


def _encoded(kind: Encoding, load: Workload) -> int | None:
    """Return the bytes of a transfer; None where it cannot send these tensors, or their shapes are unknown."""
    if kind.needs_shapes and load.tensor_shapes is None:
        return None
    try:
        return payload_bytes(kind, load.shapes)
    except UnitError:
        return None


def device_lines(found: dict[str, Any]) -> list[str]:
    """Return what was measured of devices as text: collectives, then copies."""
    collectives = [("operation", "devices", "bytes", "time", "algorithm bandwidth", "bus bandwidth", "wrong")]
    collectives += [
        (
            one["operation"],
            str(one["devices"]),
            show_bytes(one["payload_bytes"]),
            show_seconds(one["timing"]["median_s"]),
            f"{show_bytes(one['algorithm_bandwidth_bytes_per_s'])}/s",
            f"{show_bytes(one['bus_bandwidth_bytes_per_s'])}/s",
            str(one["wrong_elements"]),
        )
        for one in found["collectives"]
    ]
    copies = [("copy", "device", "bytes", "time", "note")]
    copies += [
        (
            one["direction"],
            one["device"],
            show_bytes(one["timing"]["payload_bytes"]),
            show_seconds(one["timing"]["median_s"]),
            one["note"],
        )
        for one in found["copies"]
    ]
    return [*aligned(collectives), "", *aligned(copies)]
