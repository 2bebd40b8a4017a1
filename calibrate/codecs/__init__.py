"""Codecs: what makes messages of tensors and tensors of messages, and what that takes."""

from .base import Array, Codec, CodecError, Message
from .feedback import ErrorFeedback
from .registry import CODECS, codec
from .timing import CodecTiming, time_codec, time_feedback

__all__ = [
    "CODECS",
    "Array",
    "Codec",
    "CodecError",
    "CodecTiming",
    "ErrorFeedback",
    "Message",
    "codec",
    "time_codec",
    "time_feedback",
]
