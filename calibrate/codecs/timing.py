"""What encoding and decoding take on this machine: t_codec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from speedup.payloads import Float32, encoding, payload_bytes

from ..timing.sampler import Rule, Sampler
from .feedback import ErrorFeedback
from .registry import codec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from speedup.payloads import Encoding
    from speedup.profile import Timing

    from .base import Array

RULE = Rule(target=0.05, min_samples=6, min_time_s=0.5, max_time_s=10.0, sample_s=0.05)
"""When to stop timing, unless the user says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecTiming:
    """What one payload takes in one direction.

    Attributes:
        encoding: How it is encoded.
        payload_bytes: Bytes of the message.
        dense_bytes: Bytes of the same tensors as 32-bit floats.
        encode: Time of encoding it once [s].
        decode: Time of decoding it once [s].
        feedback: Time of adding the residual and of subtracting what was sent [s]; None for what loses nothing.
    """

    encoding: Encoding
    payload_bytes: int
    dense_bytes: int
    encode: Timing
    decode: Timing
    feedback: Timing | None = None

    @property
    def t_codec_s(self) -> float:
        """Time that a transfer becomes longer by at both ends [s].

        With error feedback the sender decodes its message as well.
        """
        both = self.encode.median_s + self.decode.median_s
        return both if self.feedback is None else both + self.decode.median_s + self.feedback.median_s

    @property
    def pays_below_bytes_per_s(self) -> float | None:
        """Bandwidth below which it saves more time than it takes [B/s]; None where it saves no bytes."""
        saved = self.dense_bytes - self.payload_bytes
        return saved / self.t_codec_s if saved > 0 else None


def time_codec(
    kind: str | Encoding, values: Sequence[Array], *, rule: Rule = RULE, feedback: Timing | None = None
) -> CodecTiming:
    """Time encoding and decoding of a payload.

    Args:
        kind: An encoding, or the name of one.
        values: The payload; ``codec(kind).typical(shapes)`` makes one.
        rule: When to stop, for each of the two or three timings.
        feedback: What ``time_feedback`` returned for tensors of these shapes; None to time it where it is needed.

    Returns:
        Medians with intervals, where six samples were taken.

    Raises:
        CodecError: The encoding cannot send these values.
        UnitError: The shapes are none that it can send.
        UnknownNameError: Nobody knows the name.
        UnstableTimingError: The clock does not advance.

    Example:
        >>> rule = Rule(min_samples=6, min_time_s=0, max_time_s=0.2, sample_s=1e-3)
        >>> found = time_codec("int8", codec("int8").typical([(300, 100)]), rule=rule)
        >>> found.payload_bytes, found.encode.median_s > 0, found.pays_below_bytes_per_s > 0
        (30004, True, True)
    """
    chosen = encoding(kind)
    worker, shapes = codec(chosen), [value.shape for value in values]
    message = worker.encode(values)
    return CodecTiming(
        encoding=chosen,
        payload_bytes=message.size,
        dense_bytes=payload_bytes(Float32(), shapes),
        encode=_timed(lambda: worker.encode(values), rule, message.size),
        decode=_timed(lambda: worker.decode(message, shapes), rule, message.size),
        feedback=(feedback or time_feedback(values, rule=rule)) if chosen.lossy else None,
    )


def time_feedback(values: Sequence[Array], *, rule: Rule = RULE) -> Timing:
    """Time what error feedback adds to encoding and decoding a payload, which is the same for every encoding.

    Args:
        values: The payload.
        rule: When to stop.

    Returns:
        Time of adding the residual and of subtracting what was sent.

    Raises:
        UnstableTimingError: The clock does not advance.

    Example:
        >>> rule = Rule(min_samples=6, min_time_s=0, max_time_s=0.2, sample_s=1e-3)
        >>> time_feedback(codec("fp32").typical([(300, 100)]), rule=rule).payload_bytes
        120000
    """
    shapes = [value.shape for value in values]
    feedback = ErrorFeedback(codec("fp32"), shapes)
    return _timed(lambda: feedback.keep(feedback.wanted(values), values), rule, payload_bytes("fp32", shapes))


def _timed(step: Callable[[], object], rule: Rule, size: int) -> Timing:
    sampler = Sampler(step, wait=lambda _: None, rule=rule)
    sampler.visit(rule.max_time_s)
    return replace(sampler.result().timing(), payload_bytes=size)
