"""From what the user said to the two times of the model, each with where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from speedup.cluster import Link, MeasuredLink
from speedup.errors import PlanError, ProfileError
from speedup.gradient_time import BatchTime, GradientTime
from speedup.laws import Law, LawKind
from speedup.payloads import encoding, traffic
from speedup.plans import THESIS_SERVERS, Schedule, ServerKind, UpdateMode
from speedup.practice import USUAL, Overlap, Practice
from speedup.profile import Profile, Provenance, Timing
from speedup.units import not_negative, positive, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speedup.payloads import Encoding, Traffic

FEWEST_SAMPLES, ENOUGH_SAMPLES = 5, 200
"""Samples from which on a spread is known; and from which on they stand for the law itself."""
BOOTSTRAP = 200
MODEL_DOUBT = 0.01
"""Relative standard deviation of real runs about what their measured link predicts (ADR 0018)."""
_SEED = 1


@dataclass(frozen=True, slots=True)
class Doubt:
    """How surely the times are known: relative standard deviations of what calibration says.

    Attributes:
        t_grad: Of the mean of t_grad.
        t_comm: Of the mean of t_comm.
        model: Of the time of a run on a real network, of which t_comm is known from one link.
        cv_grad: Of the coefficient of variation of t_grad.
        cv_comm: Of the coefficient of variation of t_comm.
    """

    t_grad: float = 0.0
    t_comm: float = 0.0
    cv_grad: float = 0.0
    cv_comm: float = 0.0
    model: float = 0.0

    def __bool__(self) -> bool:
        return max(self.t_grad, self.t_comm, self.cv_grad, self.cv_comm, self.model) > 0


@dataclass(frozen=True, slots=True)
class Inputs:
    """The model's two times and their origin.

    Attributes:
        t_grad: Gradient of one batch on one worker, with its batch size, interval and where it comes from.
        t_comm_s: All weights, or all gradients, once between server and one worker [s].
        t_comm_from: Where it comes from.
        profile: The profile they were taken from, if any.
        link: The link that t_comm was computed for, if any.
        t_grad_given: Whether the user gave t_grad, so that no sweep of the profile belongs to it.
        grad_law: Law of t_grad, where times vary.
        comm_law: Law of t_comm; likewise.
        doubt: How surely their means and spread are known.
        up_ratio: t_up by t_comm, which is the mean of t_up and t_down; 1 where they are equal.
        traffic: What is sent each way, where encodings were named.
        t_codec_s: What a worker takes to encode and decode, once an iteration [s].
        practice: How training is done besides its plan.
    """

    t_grad: BatchTime
    t_comm_s: float
    t_comm_from: Provenance
    profile: Profile | None
    link: Link | MeasuredLink | None
    t_grad_given: bool
    grad_law: Law
    comm_law: Law
    doubt: Doubt
    up_ratio: float = 1.0
    traffic: Traffic | None = None
    t_codec_s: float = 0.0
    practice: Practice = USUAL

    @property
    def latency_s(self) -> float:
        """Latency of a message between machines [s]; 0 where no link was named, so that it is within t_comm."""
        return min(self.link.latency_s, self.t_up_s) if self.link else 0.0

    @property
    def t_up_s(self) -> float:
        """All gradients once from a worker to the server [s]."""
        return self.up_ratio * self.t_comm_s

    @property
    def t_down_s(self) -> float:
        """All weights once from the server to a worker [s]."""
        return (2 - self.up_ratio) * self.t_comm_s

    def of_the_thesis(self, server: str) -> bool:
        """Return whether the thesis has formulas for a server and this practice."""
        return server in THESIS_SERVERS and self.practice.usual

    @property
    def apart(self) -> bool:
        """Whether the two directions differ."""
        return self.up_ratio != 1.0

    @property
    def varies(self) -> bool:
        """Whether a spread of the times is known."""
        return max(self.grad_law.cv, self.comm_law.cv) > 0

    @property
    def t_grad_s(self) -> float:
        """Gradient of one batch on one worker [s]."""
        return self.t_grad.median_s

    @property
    def t_grad_from(self) -> Provenance:
        """Where t_grad comes from."""
        return self.t_grad.provenance

    @property
    def batch(self) -> int | None:
        """Samples in one batch of one worker; None where nobody said."""
        return self.t_grad.batch

    @property
    def tensor_elements(self) -> tuple[int, ...] | None:
        """Tensor sizes of the workload, where a profile gives them."""
        return self.profile.workload.tensor_elements if self.profile else None

    @property
    def gradient_time(self) -> GradientTime | None:
        """t_grad as a function of the batch size; None unless it comes from a sweep of at least two of them."""
        if self.profile is None or self.t_grad_given or self.batch is None:
            return None
        sizes = {timing.batch for timing in self.profile.t_grad} - {None}
        return GradientTime.of(self.profile) if len(sizes) > 1 else None

    def part(self, workers: int) -> BatchTime | None:
        """Return t_grad of the largest of N parts of a batch, ceil(b/N) samples; None without a sweep."""
        sweep = self.gradient_time
        return None if sweep is None or self.batch is None else sweep.predict(-(-self.batch // workers))

    def compute_law(self, mode: UpdateMode, workers: int) -> Law:
        """Return the law of what a worker does between two transfers: a batch or its part of one, and the codec."""
        part = np.squeeze(self._batch_in_formula_s(mode, np.array([workers])))
        share = workers if mode is UpdateMode.SYNC_SPLIT else 1
        return self.grad_law.scaled(float(part) / share / self.t_grad_s).later_by(self.t_codec_s)

    def transfer_law(
        self, mode: UpdateMode, server: ServerKind, schedule: Schedule, workers: int, *, equal: bool = True
    ) -> Law:
        """Return the law of t_comm as the transfers of a plan see it.

        Where a link was measured with several flows over it, their shares are a little uneven, and several flows over
        several full links take a little longer than their bytes must.

        Args:
            mode: Whether workers are in step.
            server: Where the weights live.
            schedule: How the server's link is shared.
            workers: N.
            equal: Whether a distributed server's shares are equal; if not, the link of the fullest unit alone is full.
        """
        link = self.link
        if not isinstance(link, MeasuredLink) or workers == 1:
            return self.comm_law
        excess, spread = 1.0, 0.0
        if server is ServerKind.DISTRIBUTED:
            measured, spread, _ = self._exchange_excess(link, mode, workers)
            excess = measured if equal else 1.0
        elif schedule is Schedule.FAIR:
            spread = link.cv_of_flows(workers)
        return Law.named(LawKind.GAMMA, self.comm_law.mean_s * excess, max(self.comm_law.cv, spread))

    def sharing(self, mode: UpdateMode) -> Schedule:
        """Return how the transfers of a distributed server share links.

        Evenly, unless the link's engine sends in turn. That matters to workers out of step alone: in step all fetch,
        and then all give.
        """
        in_turn = isinstance(self.link, MeasuredLink) and self.link.in_turn
        return Schedule.SEMAPHORE if in_turn and mode is UpdateMode.ASYNC else Schedule.FAIR

    def plan_doubt(self, mode: UpdateMode, server: ServerKind, workers: int, *, equal: bool = True) -> Doubt:
        """Return how surely the times of a plan are known: for workers out of step on a measured link, less surely."""
        if not isinstance(self.link, MeasuredLink) or server is not ServerKind.DISTRIBUTED or not equal:
            return self.doubt
        _, _, doubt = self._exchange_excess(self.link, mode, workers)
        return replace(self.doubt, model=math.hypot(self.doubt.model, doubt))

    def _exchange_excess(self, link: MeasuredLink, mode: UpdateMode, workers: int) -> tuple[float, float, float]:
        near = link.near_exchange(workers)
        if near is None:
            return 1.0, 0.0, 0.0
        if mode is not UpdateMode.ASYNC:
            return link.exchange_excess(near)
        from speedup.simulation.crossing import crossing  # noqa: PLC0415 - compiled when first needed

        return link.exchange_excess(near, crossing(near.hosts, near.stagger, self.sharing(mode)))

    def formula_t_grad_s(
        self, mode: UpdateMode, workers: NDArray[np.int64], centre: float = 1.0
    ) -> NDArray[np.float64] | float:
        r"""Return what stands for t_grad in the formula of a mode [s], one a worker count where they differ.

        That is t_grad, except for sync-split with a sweep. Its formulas divide t_grad by N, as if 1/N of a batch took
        1/N of its time; with

        .. math:: N \, t_{grad}(\lceil b/N \rceil)

        in its place, they have the time of the largest part of a batch instead. What a worker takes to encode and
        decode comes on top, once an iteration, except for one worker alone.

        Args:
            mode: The mode of the formula.
            workers: Worker counts N, each at least 1.
            centre: What t_grad is multiplied by.

        Example:
            >>> import numpy as np
            >>> gather("squeezenet").formula_t_grad_s(UpdateMode.SYNC_SPLIT, np.array([1, 8]))
            0.758
        """
        times = self._batch_in_formula_s(mode, workers) * centre
        if mode is UpdateMode.SEQUENTIAL or not self.t_codec_s:
            return times
        once = self.t_codec_s * workers.astype(np.float64) if mode is UpdateMode.SYNC_SPLIT else self.t_codec_s
        return times + once

    def _batch_in_formula_s(self, mode: UpdateMode, workers: NDArray[np.int64]) -> NDArray[np.float64] | float:
        sweep = self.gradient_time if mode is UpdateMode.SYNC_SPLIT else None
        if sweep is None or self.batch is None:
            return self.t_grad_s
        return workers * sweep.seconds(-(-self.batch // workers))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to mind about t_grad."""
        if self.t_grad_given or not self.t_grad.extrapolated or self.profile is None:
            return ()
        low, high = GradientTime.of(self.profile).range
        measured = f"batch {low} alone was measured" if low == high else f"batch sizes {low} to {high} were measured"
        how = "assumed proportional to the batch" if low == high else "extrapolated"
        return (f"t_grad of batch {self.batch} is {how}: {measured}. Measure it too: speedup calibrate.",)

    def to_dict(self) -> dict[str, Any]:
        """Return the inputs as a plain dictionary, each number with its provenance."""
        document: dict[str, Any] = {
            "profile": self.profile.name if self.profile else None,
            "batch": self.batch,
            "t_grad_s": self.t_grad_s,
            "t_grad_provenance": str(self.t_grad_from),
            "t_grad_low_s": self.t_grad.low_s,
            "t_grad_high_s": self.t_grad.high_s,
            "t_grad_level": self.t_grad.level,
            "cv_grad": self.grad_law.cv,
            "t_comm_s": self.t_comm_s,
            "t_up_s": self.t_up_s,
            "t_down_s": self.t_down_s,
            "t_codec_s": self.t_codec_s,
            "cv_comm": self.comm_law.cv,
            "t_comm_provenance": str(self.t_comm_from),
            "practice": self.practice.to_dict(),
            "warnings": list(self.warnings),
        }
        if self.traffic:
            document |= {
                "up": self.traffic.up.name,
                "down": self.traffic.down.name,
                "up_bytes": self.traffic.up_bytes,
                "down_bytes": self.traffic.down_bytes,
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
    t_up: float | None = None,
    batch: int | None = None,
    network: str | Link | MeasuredLink | None = None,
    latency_s: float = 0.0,
    cv_grad: float | None = None,
    cv_comm: float | None = None,
    up: str | Encoding | None = None,
    down: str | Encoding | None = None,
    deltas: bool = False,
    t_codec: float = 0.0,
    overlap: str | float | Overlap = "off",
    per_machine: int = 1,
    intra: str | Link | float | None = None,
    local_steps: int = 1,
    backup: int = 0,
    shards: int | None = None,
    speeds: Sequence[float] = (),
    staleness: int | None = None,
    t_serve: float = 0.0,
    t_update: float = 0.0,
    backward: Sequence[float] = (),
) -> Inputs:
    """Settle t_grad and t_comm and their spread: a number given beats the profile's.

    Without a number, t_comm is that of the network named, of the profile's timing, or of the profile's measured link.
    Where gradients take another time than weights, because ``t_up`` or encodings say so, it is the mean of both.

    A batch size given along with t_grad is the size of the batch that t_grad is for; it does not change the number.
    Where nobody gave a spread, it is that of the profile's samples, and 0 without any.

    Raises:
        UnitError: A number or the network is out of range or unreadable.
        PlanError: Too little was given, or two things that contradict each other.
        ProfileError: The profile has no t_comm and no network was named.
    """
    loaded = Profile.load(profile) if isinstance(profile, (str, Path)) else profile
    size = None if batch is None else whole("batch", batch)
    gradient = _t_grad(loaded, t_grad, size)
    link = _link(network, latency_s)
    if link is None and t_comm is None and loaded is not None and loaded.t_comm is None:
        link = loaded.link
    sent = _traffic(loaded, link, up, down, deltas=deltas)
    t_down_s, t_comm_from = _t_comm(loaded, t_comm, link, sent)
    t_up_s = _t_up(t_up, link, sent, t_down_s)
    if t_up is not None:
        # As sure as the less sure of the two.
        t_comm_from = Provenance.ASSUMED
    t_comm_s = (t_up_s + t_down_s) / 2
    grad_timing = loaded.t_grad_timing if loaded is not None and t_grad is None else None
    comm_timing = loaded.t_comm if loaded is not None and t_comm is None and link is None else None
    if isinstance(link, MeasuredLink) and loaded is not None:
        comm_timing = _transfer(link, max(sent.up_bytes, sent.down_bytes) if sent else loaded.workload.payload_bytes)
    inside_s, latency_intra_s = _intra(loaded, sent, intra)
    practice = Practice(
        overlap=Overlap.of(overlap),
        per_machine=per_machine,
        t_intra_s=inside_s,
        latency_intra_s=latency_intra_s,
        local_steps=local_steps,
        backup=backup,
        shards=shards,
        speeds=tuple(speeds),
        staleness=staleness,
        t_serve_s=t_serve,
        t_update_s=t_update,
        backward_s=tuple(backward),
    )
    tensors = len(loaded.workload.tensor_elements) if loaded else 0
    if practice.backward_s and len(practice.backward_s) != tensors:
        raise PlanError(f"backward has {len(practice.backward_s)} values, but the profile has {tensors} tensors.")
    return Inputs(
        gradient,
        t_comm_s,
        t_comm_from,
        loaded,
        link,
        t_grad_given=t_grad is not None,
        grad_law=_law("cv_grad", cv_grad, gradient.median_s, grad_timing),
        comm_law=_law("cv_comm", cv_comm, t_comm_s, comm_timing),
        doubt=Doubt(
            t_grad=max(_doubt_of_interval(gradient), doubt_of_mean(grad_timing)),
            t_comm=max(_doubt_of_interval(comm_timing), doubt_of_mean(comm_timing)),
            cv_grad=doubt_of_spread(grad_timing) if cv_grad is None else 0.0,
            cv_comm=doubt_of_spread(comm_timing) if cv_comm is None else 0.0,
            model=MODEL_DOUBT if isinstance(link, MeasuredLink) else 0.0,
        ),
        up_ratio=t_up_s / t_comm_s,
        traffic=sent,
        t_codec_s=not_negative("t_codec", t_codec, "s"),
        practice=practice,
    )


def _intra(profile: Profile | None, sent: Traffic | None, intra: str | Link | float | None) -> tuple[float, float]:
    """Return what all gradients take over a link inside a machine, and its latency [s]."""
    if intra is None:
        return 0.0, 0.0
    if isinstance(intra, (int, float)):
        return not_negative("intra", intra, "s"), 0.0
    if profile is None:
        raise PlanError("intra names a link, whose time needs a payload: name a profile, or give intra= in seconds.")
    link = Link.parse(intra) if isinstance(intra, str) else intra
    payload = sent.up_bytes if sent else profile.workload.payload_bytes
    return payload / link.bandwidth_bytes_per_s, link.latency_s


def _samples(timing: Timing | None) -> NDArray[np.float64]:
    """Return single calls, if enough were timed one by one, else the samples."""
    if timing is None:
        return np.empty(0)
    singles = timing.steps_s if len(timing.steps_s) >= FEWEST_SAMPLES else timing.samples_s
    return np.array(singles) if len(singles) >= FEWEST_SAMPLES else np.empty(0)


def _law(what: str, cv: float | None, centre_s: float, timing: Timing | None) -> Law:
    """Return the law of a time: of the spread given, or else of the samples', drawn from them if they are many.

    What is known is the centre, a median; a run adds up means, which lie above it where the samples are skewed.
    """
    if cv is not None:
        return Law.named(LawKind.GAMMA, centre_s, not_negative(what, cv, ""))
    samples = _samples(timing)
    if not samples.size:
        return Law.named(LawKind.GAMMA, centre_s, (timing.cv or 0.0) if timing else 0.0)
    law = Law.of_samples(samples.tolist())
    mean_s = centre_s * law.mean_s / float(np.median(samples))
    if samples.size >= ENOUGH_SAMPLES:
        return law.scaled(mean_s / law.mean_s)
    spread = float(samples.std(ddof=1)) / law.mean_s
    # The third moment of a lognormal law is that much larger.
    skew = float(((samples - law.mean_s) ** 3).mean()) / (spread * law.mean_s) ** 3 if spread else 0.0
    heavy = skew > 2.5 * spread + spread**3 / 2
    return Law.named(LawKind.LOGNORMAL if heavy else LawKind.GAMMA, mean_s, spread)


def _doubt_of_interval(time: BatchTime | Timing | None) -> float:
    """Return the relative standard deviation that an interval of the median stands for; 0 without one."""
    from statistics import NormalDist  # noqa: PLC0415 - with the first profile, not with the import

    if time is None or time.low_s is None or time.high_s is None or time.level is None:
        return 0.0
    return (time.high_s - time.low_s) / (2 * NormalDist().inv_cdf((1 + time.level) / 2) * time.median_s)


def _resampled(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return bootstrap resamples of samples, shape (draws, n)."""
    return np.random.default_rng(_SEED).choice(samples, (BOOTSTRAP, samples.size))


def doubt_of_mean(timing: Timing | None) -> float:
    """Return the relative standard deviation of the mean of samples, by resampling them; 0 without samples."""
    samples = _samples(timing)
    if not samples.size:
        return 0.0
    means = _resampled(samples).mean(axis=1)
    return float(means.std() / means.mean())


def doubt_of_spread(timing: Timing | None) -> float:
    """Return the relative standard deviation of their coefficient of variation, by resampling; 0 without samples."""
    samples = _samples(timing)
    if not samples.size:
        return 0.0
    drawn = _resampled(samples)
    spreads = drawn.std(axis=1) / drawn.mean(axis=1)
    return float(spreads.std() / spreads.mean()) if spreads.mean() > 0 else 0.0


def _t_grad(profile: Profile | None, t_grad: float | None, batch: int | None) -> BatchTime:
    if t_grad is not None:
        seconds = positive("t_grad", t_grad, "s", advice="Measure it: speedup calibrate NAME.")
        size = profile.workload.batch if batch is None and profile is not None else batch
        return BatchTime(median_s=seconds, provenance=Provenance.ASSUMED, batch=size)
    if profile is None:
        raise PlanError("t_grad is missing: name a profile, or give t_grad= (seconds of one batch on one worker).")
    if batch is None:
        return BatchTime.of(profile.t_grad_timing)
    if not any(timing.batch for timing in profile.t_grad):
        raise PlanError(
            f'batch = {batch}, but profile "{profile.name}" does not say which batch size it was measured at; leave '
            "batch out, or give t_grad= of such a batch."
        )
    return GradientTime.of(profile).predict(batch)


def _link(network: str | Link | MeasuredLink | None, latency_s: float) -> Link | MeasuredLink | None:
    if network is None or isinstance(network, (Link, MeasuredLink)):
        return network
    if network.endswith(".json"):
        return MeasuredLink.load(network)
    return Link.parse(network, latency_s=latency_s)


def _transfer(link: MeasuredLink, payload_bytes: int) -> Timing:
    """Return the timing of a transfer over a measured link."""
    low, high = link.transfer_interval_s(payload_bytes)
    return Timing(
        median_s=link.transfer_time_s(payload_bytes),
        provenance=link_provenance(link, payload_bytes),
        low_s=low,
        high_s=high,
        level=link.level,
        cv=link.cv(payload_bytes),
        payload_bytes=payload_bytes,
    )


def link_provenance(link: Link | MeasuredLink, payload_bytes: int) -> Provenance:
    """Return where the time of a transfer comes from: beyond the largest size measured, from the fit."""
    if isinstance(link, Link):
        return Provenance.ASSUMED
    largest = max((one.payload_bytes for one in link.transfers), default=0)
    return Provenance.MEASURED if payload_bytes <= largest else Provenance.FITTED


def _traffic(
    profile: Profile | None,
    link: Link | MeasuredLink | None,
    up: str | Encoding | None,
    down: str | Encoding | None,
    *,
    deltas: bool,
) -> Traffic | None:
    """Return what is sent each way if encodings were named; None if not."""
    if (up is not None or down is not None) and (profile is None or link is None):
        raise PlanError(
            "up and down name encodings, whose bytes take a time only over a link: name a profile and network=, such "
            'as network="1gbit". If you know the times, give t_comm= and t_up=.'
        )
    return None if profile is None else encoded_traffic(profile, up, down, deltas=deltas)


def encoded_traffic(
    profile: Profile, up: str | Encoding | None, down: str | Encoding | None, *, deltas: bool = False
) -> Traffic | None:
    """Return what the encodings named make of a profile's payload each way; None if none is named.

    Args:
        profile: Whose payload.
        up: Encoding of the gradients; None for the algorithm's own.
        down: Encoding of the weights; likewise.
        deltas: Whether the server sends changes of the weights.

    Raises:
        PlanError: An encoding does not go that way.
        ProfileError: An encoding needs shapes that the profile does not have.
        UnknownNameError: Nobody knows an encoding.

    Example:
        >>> print(encoded_traffic(Profile.load("squeezenet"), "int8", None))
        sgd: 867 kB up (int8), 3.47 MB down (fp32), 63% of 32-bit floats both ways
    """
    if up is None and down is None:
        return None
    load = profile.workload
    if load.tensor_shapes is None:
        for chosen in (encoding(one) for one in (up, down) if one is not None):
            if chosen.needs_shapes:
                raise ProfileError(
                    f'encoding "{chosen.name}" needs the shapes of the tensors, and profile "{profile.name}" has their '
                    "sizes only. Calibrate it anew."
                )
    return traffic(load.algorithm, load.shapes, up=up, down=down, deltas=deltas)


def _t_up(t_up: float | None, link: Link | MeasuredLink | None, sent: Traffic | None, t_down_s: float) -> float:
    if t_up is not None and sent is not None:
        raise PlanError("t_up and an encoding were both given; t_up is what the encoding would give. Drop one.")
    if t_up is not None:
        return positive("t_up", t_up, "s", advice="It is the time of the gradients, and t_comm that of the weights.")
    return t_down_s if sent is None or link is None else link.transfer_time_s(sent.up_bytes)


def _t_comm(
    profile: Profile | None, t_comm: float | None, link: Link | MeasuredLink | None, sent: Traffic | None
) -> tuple[float, Provenance]:
    if t_comm is not None and link is not None:
        raise PlanError("t_comm and network were both given; t_comm is what the network would give. Drop one.")
    if t_comm is not None:
        advice = "Measure it, or name a network= instead."
        return positive("t_comm", t_comm, "s", advice=advice), Provenance.ASSUMED
    if link is not None:
        if profile is None:
            raise PlanError("network needs a profile, whose payload it carries; or give t_comm= (seconds).")
        payload = sent.down_bytes if sent else profile.workload.payload_bytes
        return link.transfer_time_s(payload), link_provenance(link, payload)
    if profile is None:
        raise PlanError("t_comm is missing: give t_comm= (seconds of one transfer), or a profile and network=.")
    if profile.t_comm is None:
        raise ProfileError(
            f'profile "{profile.name}" has no t_comm; name the network, such as network="1gbit", measure it '
            "(speedup transport), or give t_comm=."
        )
    return profile.t_comm.median_s, profile.t_comm.provenance
