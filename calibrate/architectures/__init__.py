"""The networks that can be calibrated, and what each sends and computes."""

from .base import Network, trainable_tensors
from .gpt import GPT
from .registry import ARCHITECTURES, Architecture, architecture, architecture_names
from .sizes import describe_architectures, forward_flops, tensor_elements, tensor_shapes

__all__ = [
    "ARCHITECTURES",
    "GPT",
    "Architecture",
    "Network",
    "architecture",
    "architecture_names",
    "describe_architectures",
    "forward_flops",
    "tensor_elements",
    "tensor_shapes",
    "trainable_tensors",
]
