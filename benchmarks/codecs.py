"""What does each encoding take in bytes and in time, and below which bandwidth does it pay?

For four networks and every encoding that an iteration can use: the bytes of a message, their ratio to 32-bit floats,
and the times of encoding, of decoding and, for what loses something, of keeping a residual, on one processor core and
with NumPy. A sender that keeps a residual also decodes what it sends. An encoding pays where it takes less time than
the bytes that it saves, so below the bandwidth

    saved bytes / t_codec,    t_codec = encode + decode (+ decode + feedback)

Sending 32-bit floats is taken to need no time but that of the network. Values are normal; masks have half of the
weights, and the compacted network half of its units.

    python benchmarks/codecs.py [--quick]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import record

from calibrate.architectures import tensor_shapes
from calibrate.codecs import CodecTiming, codec, time_codec, time_feedback
from calibrate.timing.sampler import Rule
from speedup.errors import UnitError
from speedup.payloads import ENCODINGS, Compacted, Encoding, dense_chain
from speedup.units import show_bandwidth, show_bytes, show_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speedup.payloads import Shapes
    from speedup.profile import Timing

NETWORKS = ("viviano_fc_784", "squeezenet", "resnet34", "vgg16e_224")
RULE = Rule(min_samples=6, max_samples=8, min_time_s=0.2, max_time_s=12.0, sample_s=0.05)
"""As few samples as an interval needs: the largest network takes about a second a call."""


def encodings(shapes: Shapes) -> Iterator[Encoding]:
    """Yield what an iteration of a network can be encoded with."""
    for one in ENCODINGS.values():
        if isinstance(one, Compacted):
            try:
                yield Compacted(tuple(units // 2 for units in dense_chain(shapes)))
            except UnitError:
                continue
        elif not one.once:
            yield one


def columns(name: str, timing: Timing | None) -> dict[str, object]:
    """Return a timing with its interval as columns."""
    ends = (timing.median_s, timing.low_s, timing.high_s) if timing else (None, None, None)
    cells = zip(("_s", "_low_s", "_high_s"), ends, strict=True)
    return {f"{name}{suffix}": "" if value is None else value for suffix, value in cells}


def row(network: str, found: CodecTiming) -> dict[str, object]:
    """Print one encoding of one network and return its row."""
    pays = found.pays_below_bytes_per_s
    ratio = found.payload_bytes / found.dense_bytes
    where = f"pays below {show_bandwidth(pays)}" if pays else "saves nothing"
    print(
        f"{network} {found.encoding.name}: {show_bytes(found.payload_bytes)} ({ratio:.2%}), encode {found.encode}, "
        f"decode {found.decode}, t_codec {show_seconds(found.t_codec_s)}, {where}",
        flush=True,
    )
    return {
        "network": network,
        "encoding": found.encoding.name,
        "payload_bytes": found.payload_bytes,
        "ratio": ratio,
        **columns("encode", found.encode),
        **columns("decode", found.decode),
        **columns("feedback", found.feedback),
        "t_codec_s": found.t_codec_s,
        "pays_below_bytes_per_s": pays or "",
    }


def table(network: str) -> Iterator[dict[str, object]]:
    """Yield a row an encoding."""
    shapes = tensor_shapes(network)
    gradients = codec("fp32").typical(shapes)
    feedback = time_feedback(gradients, rule=RULE)
    for one in encodings(shapes):
        values = gradients if one.lossy else codec(one).typical(shapes)
        yield row(network, time_codec(one, values, rule=RULE, feedback=feedback))


def main() -> None:
    """Time every encoding of every network, print it, and write the table."""
    parser = argparse.ArgumentParser(description="Size and time the encodings of a payload.")
    parser.add_argument("--quick", action="store_true", help="the two smaller networks")
    options = parser.parse_args()
    rows = [one for network in NETWORKS[: 2 if options.quick else None] for one in table(network)]
    print(f"wrote {record.write('codecs', rows, ('numpy', 'ml_dtypes'), seed=0)}")


if __name__ == "__main__":
    main()
