"""Write the profiles of the four networks of Table 6.1 of the thesis into ``data/profiles``.

The table gives t_grad and t_comm. What was sent follows from the architectures of its chapter 2: with 1000
classes and GoogLeNet's auxiliary classifiers, 0.033 s for SqueezeNet and 0.210 s for GoogLeNet would be faster
than the 1 Gb/s link that carried them; with the 257 classes of Caltech-256 all four moved at 105 to 119 MB/s.
The tensor lists below are therefore those of the 257-class networks at 224 x 224, without auxiliary
classifiers (ADR 0004).

Run it again after a change:  python data/thesis_profiles.py
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

from speedup.profile import Device, Profile, Provenance, Timing, Workload

CLASSES = 257
SOURCE = "O. Slampa, Parallel Deep Learning, master's thesis, Brno University of Technology, 2017, Table 6.1"
GTX_970 = Device(platform="gpu", name="NVIDIA GeForce GTX 970", memory_bytes=4 * 2**30)


Shape = tuple[int, ...]


def layer(inputs: int, outputs: int, kernel: int = 1) -> list[Shape]:
    """Return kernel and bias of a convolution; a dense layer is one with a kernel of 1."""
    return [weights(inputs, outputs, kernel), (outputs,)]


def weights(inputs: int, outputs: int, kernel: int) -> Shape:
    """Return the shape of a kernel, the outputs last."""
    return (kernel, kernel, inputs, outputs) if kernel > 1 else (inputs, outputs)


def vgg16e() -> list[Shape]:
    """Table 2.1: 16 convolutions of 3 x 3 in five groups, then three dense layers."""
    widths = [3] + [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    convolutions = [shape for pair in pairwise(widths) for shape in layer(*pair, kernel=3)]
    return convolutions + layer(7 * 7 * 512, 4096) + layer(4096, 4096) + layer(4096, CLASSES)


def googlenet() -> list[Shape]:
    """Tables 2.2 and 2.3: (1x1, reduce 3x3, 3x3, reduce 5x5, 5x5, pool) of nine modules."""
    modules = (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    )
    shapes, width = layer(3, 64, 7) + layer(64, 64) + layer(64, 192, 3), 192
    for one, reduce3, three, reduce5, five, pool in modules:
        shapes += layer(width, one) + layer(width, reduce3) + layer(reduce3, three, 3)
        shapes += layer(width, reduce5) + layer(reduce5, five, 5) + layer(width, pool)
        width = one + three + five + pool
    return shapes + layer(width, CLASSES)


def squeezenet() -> list[Shape]:
    """Table 2.4: eight fire modules of (squeeze, expand) between two convolutions."""
    shapes, width = layer(3, 96, 7), 96
    for squeeze, expand in (
        (16, 64),
        (16, 64),
        (32, 128),
        (32, 128),
        (48, 192),
        (48, 192),
        (64, 256),
        (64, 256),
    ):
        shapes += layer(width, squeeze) + layer(squeeze, expand) + layer(squeeze, expand, 3)
        width = 2 * expand
    return shapes + layer(width, CLASSES)


def resnet34() -> list[Shape]:
    """Table 2.5 with option B: convolutions without bias, each followed by scale and offset."""

    def normalised(inputs: int, outputs: int, kernel: int) -> list[Shape]:
        return [weights(inputs, outputs, kernel), (outputs,), (outputs,)]

    shapes, width = normalised(3, 64, 7), 64
    for maps, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for _ in range(blocks):
            shapes += normalised(width, maps, 3) + normalised(maps, maps, 3)
            if width != maps:
                shapes += normalised(width, maps, 1)
            width = maps
    return shapes + layer(width, CLASSES)


def published(seconds: float, *, payload_bytes: int | None = None) -> Timing:
    """Return a printed figure, of which the source gives neither samples nor spread."""
    return Timing(median_s=seconds, provenance=Provenance.PUBLISHED, payload_bytes=payload_bytes)


def profiles() -> dict[str, Profile]:
    """Return the four profiles by name."""
    table = {
        "vgg16e": (vgg16e(), 0.719, 5.153),
        "googlenet": (googlenet(), 0.763, 0.210),
        "squeezenet": (squeezenet(), 0.758, 0.033),
        "resnet34": (resnet34(), 0.821, 0.811),
    }
    return {name: profile(name, *row) for name, row in table.items()}


def profile(name: str, shapes: list[Shape], t_grad: float, t_comm: float) -> Profile:
    """Return the profile of one row of the table."""
    workload = Workload(
        architecture=name,
        tensor_elements=tuple(map(math.prod, shapes)),
        tensor_shapes=tuple(shapes),
        input_shape=(224, 224, 3),
    )
    return Profile(
        name=name,
        workload=workload,
        t_grad=(published(t_grad),),
        t_comm=published(t_comm, payload_bytes=workload.payload_bytes),
        device=GTX_970,
        environment={"network": "1 Gbit/s full-duplex Ethernet", "framework": "TensorFlow 1.1"},
        warnings=(
            "The source gives no batch size; t_grad may include reading the images.",
            "The tensor list is inferred from t_comm: 257 classes, no auxiliary classifiers.",
        ),
        source=SOURCE,
    )


def main() -> None:
    """Write one file a network."""
    folder = Path(__file__).parent / "profiles"
    for name, one in profiles().items():
        print(one.save(folder / f"{name}.json"))


if __name__ == "__main__":
    main()
