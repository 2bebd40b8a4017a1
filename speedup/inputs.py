"""From what the user said to the two times of the model, each with where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speedup.cluster import Link
from speedup.errors import PlanError, ProfileError
from speedup.profile import Profile, Provenance
from speedup.units import positive


@dataclass(frozen=True, slots=True)
class Inputs:
    """The model's two times and their origin.

    Attributes:
        t_grad_s: Gradient of one batch on one worker [s].
        t_grad_from: Where it comes from.
        t_comm_s: All weights, or all gradients, once between server and one worker [s].
        t_comm_from: Where it comes from.
        profile: The profile they were taken from, if any.
        link: The link that t_comm was computed for, if any.
    """

    t_grad_s: float
    t_grad_from: Provenance
    t_comm_s: float
    t_comm_from: Provenance
    profile: Profile | None = None
    link: Link | None = None

    @property
    def tensor_elements(self) -> tuple[int, ...] | None:
        """Tensor sizes of the workload, where a profile gives them."""
        return self.profile.workload.tensor_elements if self.profile else None

    def to_dict(self) -> dict[str, Any]:
        """Return the inputs as a plain dictionary, each number with its provenance."""
        document: dict[str, Any] = {
            "profile": self.profile.name if self.profile else None,
            "t_grad_s": self.t_grad_s,
            "t_grad_provenance": str(self.t_grad_from),
            "t_comm_s": self.t_comm_s,
            "t_comm_provenance": str(self.t_comm_from),
        }
        if self.link:
            document["bandwidth_bytes_per_s"] = self.link.bandwidth_bytes_per_s
            document["latency_s"] = self.link.latency_s
        return document


def gather(
    profile: Profile | str | Path | None,
    *,
    t_grad: float | None = None,
    t_comm: float | None = None,
    network: str | Link | None = None,
    latency_s: float = 0.0,
) -> Inputs:
    """Settle t_grad and t_comm: a number given beats the profile's.

    Raises:
        UnitError: A number or the network is out of range or unreadable.
        PlanError: Too little was given, or two things that contradict each other.
        ProfileError: The profile has no t_comm and no network was named.
    """
    loaded = Profile.load(profile) if isinstance(profile, (str, Path)) else profile
    t_grad_s, t_grad_from = _t_grad(loaded, t_grad)
    link = _link(network, latency_s)
    t_comm_s, t_comm_from = _t_comm(loaded, t_comm, link)
    return Inputs(t_grad_s, t_grad_from, t_comm_s, t_comm_from, loaded, link)


def _t_grad(profile: Profile | None, t_grad: float | None) -> tuple[float, Provenance]:
    if t_grad is not None:
        return positive("t_grad", t_grad, "s", advice="Measure it: speedup calibrate NAME."), Provenance.ASSUMED
    if profile is None:
        raise PlanError("t_grad is missing: name a profile, or give t_grad= (seconds of one batch on one worker).")
    return profile.t_grad_s, profile.t_grad_timing.provenance


def _link(network: str | Link | None, latency_s: float) -> Link | None:
    if network is None or isinstance(network, Link):
        return network
    return Link.parse(network, latency_s=latency_s)


def _t_comm(profile: Profile | None, t_comm: float | None, link: Link | None) -> tuple[float, Provenance]:
    if t_comm is not None and link is not None:
        raise PlanError("t_comm and network were both given; t_comm is what the network would give. Drop one.")
    if t_comm is not None:
        advice = "Measure it, or name a network= instead."
        return positive("t_comm", t_comm, "s", advice=advice), Provenance.ASSUMED
    if link is not None:
        if profile is None:
            raise PlanError("network needs a profile, whose payload it carries; or give t_comm= (seconds).")
        return link.transfer_time_s(profile.workload.payload_bytes), Provenance.ASSUMED
    if profile is None:
        raise PlanError("t_comm is missing: give t_comm= (seconds of one transfer), or a profile and network=.")
    if profile.t_comm is None:
        raise ProfileError(
            f'profile "{profile.name}" has no t_comm; name the network, such as network="1gbit", or give t_comm=.'
        )
    return profile.t_comm.median_s, profile.t_comm.provenance
