"""The networks that can be calibrated, by name; adding one is a file of its family and an entry here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from speedup.errors import look_up

from .alexnet import AlexNet
from .googlenet import GoogLeNet
from .gpt import GPT
from .nardini_mlp import NardiniMLP
from .neri_fashion_cnn import NeriFashionCNN
from .resnet import ResNet
from .squeezenet import SqueezeNet
from .vgg import VGG, VGG_D
from .viviano import VivianoConv, VivianoDense

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flax import nnx

    from .base import Network


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be calibrated.

    Attributes:
        name: Its name here.
        build: Makes the network from random streams and a number of classes.
        input_shape: Shape of one sample, channels last.
        default_batch: Samples a batch unless the user says otherwise.
        classes: Classes unless the user says otherwise; the size of the vocabulary where samples are tokens.
        family: The name that variants of one network share.
        aliases: Other names it is known by.
        tokens: A sample is token numbers below ``classes``, and its labels have the same shape, one a position.
    """

    name: str
    build: Callable[[nnx.Rngs, int], Network]
    input_shape: tuple[int, ...]
    default_batch: int
    classes: int
    family: str
    aliases: tuple[str, ...] = ()
    tokens: bool = False


_LARGE = (224, 224, 3)
_SMALL = (32, 32, 3)


def _entries() -> Iterator[Architecture]:
    # The batches are those that a small CPU measures in minutes, not those that train best.
    yield Architecture("alexnet_cifar", AlexNet, _SMALL, 128, 10, "alexnet")
    yield Architecture("alexnet_cifar_s1", partial(AlexNet, stride=1), _SMALL, 128, 10, "alexnet")
    for suffix, auxiliary in (("", True), ("_noaux", False)):
        plain = partial(GoogLeNet, auxiliary=auxiliary)
        normed = partial(plain, norm=True)
        yield Architecture(f"googlenet{suffix}", plain, _LARGE, 16, 1000, "googlenet")
        yield Architecture(f"googlenet_bn{suffix}", normed, _LARGE, 16, 1000, "googlenet")
        yield Architecture(f"googlenet_bn_3x3{suffix}", partial(normed, five=3), _LARGE, 16, 1000, "googlenet")
    yield Architecture("gpt2_124m", GPT, (1024,), 1, 50257, "gpt", aliases=("gpt2", "gpt"), tokens=True)
    yield Architecture("nardini_mlp", NardiniMLP, (784,), 128, 10, "nardini_mlp")
    yield Architecture("neri_fashion_cnn", NeriFashionCNN, (28, 28, 1), 128, 10, "neri_fashion_cnn")
    yield Architecture("resnet34", ResNet, _LARGE, 16, 1000, "resnet", aliases=("resnet34_b",))
    yield Architecture("resnet34_a", partial(ResNet, project=False), _LARGE, 16, 1000, "resnet")
    yield Architecture("resnet34_cifar", partial(ResNet, small=True), _SMALL, 128, 10, "resnet")
    yield Architecture("resnet50", partial(ResNet, bottleneck=True), _LARGE, 16, 1000, "resnet")
    yield Architecture("squeezenet", SqueezeNet, _LARGE, 16, 1000, "squeezenet")
    yield Architecture("squeezenet1_0_tv", partial(SqueezeNet, same=False), _LARGE, 16, 1000, "squeezenet")
    for norm, suffix in ((False, ""), (True, "_bn")):
        small_vgg = partial(VGG, side=32, counts=VGG_D, hidden=(), norm=norm)
        yield Architecture(f"vgg16_cifar{suffix}", small_vgg, _SMALL, 128, 10, "vgg")
    yield Architecture("vgg16e_128", partial(VGG, side=128), (128, 128, 3), 8, 1000, "vgg")
    yield Architecture("vgg16e_224", VGG, _LARGE, 8, 1000, "vgg")
    yield Architecture("viviano_conv_28", VivianoConv, (28, 28, 1), 128, 10, "viviano")
    yield Architecture("viviano_conv_32", partial(VivianoConv, side=32, channels=3), _SMALL, 128, 10, "viviano")
    yield Architecture("viviano_fc_3072", partial(VivianoDense, inputs=3072), (3072,), 128, 10, "viviano")
    yield Architecture("viviano_fc_784", VivianoDense, (784,), 128, 10, "viviano")


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({entry.name: entry for entry in _entries()})
"""Every architecture by its name."""

_BY_ANY_NAME = dict(ARCHITECTURES) | {alias: entry for entry in ARCHITECTURES.values() for alias in entry.aliases}


def architecture_names() -> tuple[str, ...]:
    """Return the names, sorted, aliases left out; nothing is built."""
    return tuple(sorted(ARCHITECTURES))


def architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Args:
        name: A name or an alias, upper or lower case, ``-`` or ``_``.

    Raises:
        UnknownNameError: Nobody knows the name.

    Example:
        >>> architecture("SqueezeNet").default_batch
        16
        >>> architecture("gpt2").name
        'gpt2_124m'
    """
    return look_up("model", name, _BY_ANY_NAME)
