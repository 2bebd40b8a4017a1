"""The networks that can be calibrated, by name; adding one is a file and an entry here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING

import jax
from flax import nnx

from speedup.errors import UnknownNameError, suggestion
from speedup.units import whole

from .base import Network, trainable_tensors
from .nardini_mlp import NardiniMLP
from .resnet34 import ResNet34
from .squeezenet import SqueezeNet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Network",
    "architecture",
    "architecture_names",
    "describe_architectures",
    "tensor_elements",
    "trainable_tensors",
]


@dataclass(frozen=True, slots=True)
class Architecture:
    """A network that can be calibrated.

    Attributes:
        name: Its name here.
        build: Makes the network from random streams and a number of classes.
        input_shape: Shape of one sample, channels last.
        default_batch: Samples a batch unless the user says otherwise.
        classes: Classes unless the user says otherwise.
    """

    name: str
    build: Callable[[nnx.Rngs, int], Network]
    input_shape: tuple[int, ...]
    default_batch: int
    classes: int


_IMAGE = (224, 224, 3)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Architecture("nardini_mlp", NardiniMLP, (784,), 128, 10),
            Architecture("resnet34", ResNet34, _IMAGE, 16, 1000),
            Architecture("resnet34_a", partial(ResNet34, project=False), _IMAGE, 16, 1000),
            Architecture("squeezenet", SqueezeNet, _IMAGE, 16, 1000),
        )
    }
)
"""Every architecture by its name; ``resnet34`` has the 1x1 shortcut (B), ``resnet34_a`` zero padding (A)."""


def architecture_names() -> tuple[str, ...]:
    """Return the names, sorted; nothing is built."""
    return tuple(sorted(ARCHITECTURES))


def architecture(name: str) -> Architecture:
    """Return the architecture of that name.

    Args:
        name: A name, upper or lower case, ``-`` or ``_``.

    Raises:
        UnknownNameError: Nobody knows the name.

    Example:
        >>> architecture("SqueezeNet").default_batch
        16
    """
    found = ARCHITECTURES.get(name.lower().replace("-", "_"))
    if found is None:
        hint = suggestion(name, ARCHITECTURES)
        raise UnknownNameError(f'unknown model "{name}". {hint}List: speedup models')
    return found


@cache
def tensor_elements(name: str, classes: int | None = None) -> tuple[int, ...]:
    """Return the elements of each trainable tensor, in forward order, without allocating any.

    Args:
        name: Name of the architecture.
        classes: Classes, if not the architecture's own number.

    Returns:
        One count a tensor, kernel before bias, batch-norm scale before offset.

    Raises:
        UnknownNameError: Nobody knows the name.
        UnitError: ``classes`` is no whole number of at least 1.

    Example:
        >>> tensor_elements("nardini_mlp")
        (235200, 300, 30000, 100, 1000, 10)
    """
    entry = architecture(name)
    count = entry.classes if classes is None else whole("classes", classes)

    def tensors() -> list[jax.Array]:
        return [tensor.get_value() for tensor in trainable_tensors(entry.build(nnx.Rngs(0), count))]

    return tuple(math.prod(shape.shape) for shape in jax.eval_shape(tensors))


def describe_architectures() -> list[dict[str, str | int | tuple[int, ...]]]:
    """Return one row an architecture, sorted by name.

    Returns:
        Rows with ``name``, ``parameters``, ``tensors``, ``payload_bytes`` (32-bit elements),
        ``input_shape`` and ``default_batch``.
    """
    rows: list[dict[str, str | int | tuple[int, ...]]] = []
    for name in architecture_names():
        elements, entry = tensor_elements(name), ARCHITECTURES[name]
        rows.append(
            {
                "name": name,
                "parameters": sum(elements),
                "tensors": len(elements),
                "payload_bytes": 4 * sum(elements),
                "input_shape": entry.input_shape,
                "default_batch": entry.default_batch,
            }
        )
    return rows
