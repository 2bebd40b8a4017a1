"""What a training is at some moment, in a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization

from speedup.files import FileError, write_bytes_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FORMAT = "speedup.training/1"


def save(path: Path, identity: dict[str, Any], leaves: Sequence[Any], **more: Any) -> None:  # noqa: ANN401 - JSON
    """Write the arrays of a training, and what else is known of it, atomically.

    Raises:
        FileError: The file cannot be written; the one from before is still there.
    """
    document = {
        "format": FORMAT,
        "about": json.dumps({"identity": identity, **more}),
        "leaves": {str(place): np.asarray(_plain(leaf)) for place, leaf in enumerate(leaves)},
    }
    write_bytes_atomically(path, serialization.msgpack_serialize(document))


def load(path: Path, identity: dict[str, Any], like: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arrays and what else is known.

    Args:
        path: The file.
        identity: What the training is that goes on from it.
        like: Its present arrays, which may have other sizes.

    Raises:
        FileError: The file is missing or damaged, or of another training.
    """
    try:
        document = serialization.msgpack_restore(path.read_bytes())
        kind, about = document["format"], json.loads(document["about"])
        leaves = [document["leaves"][str(place)] for place in range(len(document["leaves"]))]
        found = about.pop("identity")
    except FileNotFoundError:
        raise FileError(f"there is no checkpoint {path}. Without it a training begins anew.") from None
    except Exception as error:  # whatever a damaged file makes the decoder raise
        raise FileError(f"checkpoint {path} cannot be read ({error}). Remove it to go on without it.") from None
    if kind != FORMAT:
        raise FileError(f"checkpoint {path} has format {kind}; this version reads {FORMAT}. Begin anew.")
    differences = [
        f"{name} = {found.get(name)!r} there, {identity.get(name)!r} here"
        for name in sorted({*found, *identity})
        if found.get(name) != identity.get(name)
    ]
    if differences:
        raise FileError(f"checkpoint {path} is of another training: {'; '.join(differences)}. Name another file.")
    if len(leaves) != len(like):
        raise FileError(f"checkpoint {path} has {len(leaves)} arrays instead of {len(like)}. Begin anew.")
    return [_as_was(leaf, own) for leaf, own in zip(leaves, like, strict=True)], about


def _is_key(leaf: Any) -> bool:  # noqa: ANN401 - an array
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _plain(leaf: Any) -> Any:  # noqa: ANN401 - an array
    """Return an array that a file can hold: keys of random numbers as the numbers that they are."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as_was(leaf: Any, own: Any) -> Any:  # noqa: ANN401 - an array
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(own)) if _is_key(own) else jnp.asarray(leaf)
