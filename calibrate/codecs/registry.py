"""The codec of each encoding."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from speedup import payloads
from speedup.errors import UnknownNameError

from .compaction import CompactedCodec
from .dense import BFloat16Codec, Float32Codec
from .integers import Int8BlockCodec, Int8Codec
from .signs import OneBitCodec, TernaryCodec
from .sparse import StromCodec, TopKBitmapCodec, TopKCodec
from .subnetworks import MaskCodec, ScoresAndWeightsCodec, SeedCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .base import Codec

CODECS: Mapping[type[payloads.Encoding], Callable[[Any], Codec[Any]]] = MappingProxyType(
    {
        payloads.Float32: Float32Codec,
        payloads.BFloat16: BFloat16Codec,
        payloads.Int8: Int8Codec,
        payloads.Int8Block: Int8BlockCodec,
        payloads.Ternary: TernaryCodec,
        payloads.OneBit: OneBitCodec,
        payloads.TopK: TopKCodec,
        payloads.Strom: StromCodec,
        payloads.TopKBitmap: TopKBitmapCodec,
        payloads.Scores: Float32Codec,
        payloads.Mask: MaskCodec,
        payloads.ScoresAndWeights: ScoresAndWeightsCodec,
        payloads.Seed: SeedCodec,
        payloads.Compacted: CompactedCodec,
    }
)
"""Every codec by the class of its encoding."""


def codec(encoding: str | payloads.Encoding) -> Codec[Any]:
    """Return the codec of an encoding.

    Args:
        encoding: An encoding with its figures, or the name of one.

    Raises:
        UnknownNameError: Nobody knows the name, or the encoding is of a class of yours.

    Example:
        >>> codec("top-k").encoding
        TopK(fraction=0.01)
    """
    chosen = payloads.encoding(encoding)
    if type(chosen) not in CODECS:
        raise UnknownNameError(f"{type(chosen).__name__} has no codec here; derive one from Codec.")
    return CODECS[type(chosen)](chosen)
