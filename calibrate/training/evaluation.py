"""How good a network is on samples that it was not trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import jax
    from numpy.typing import NDArray

TEST_BATCH = 1000
"""Samples that are classified at once."""


def evaluated(
    predict: Callable[[NDArray[Any]], jax.Array],
    inputs: Callable[[slice], NDArray[Any]],
    labels: NDArray[Any],
    criterion: Callable[[jax.Array, jax.Array], jax.Array],
) -> tuple[float, float]:
    """Return the mean loss of test samples, and the share of them that is classified as labelled.

    Args:
        predict: Returns the logits of some samples.
        inputs: Returns a stretch of the samples, as the network takes them.
        labels: Of all samples.
        criterion: Mean loss of logits and labels.

    Example:
        >>> samples = np.eye(3, dtype=np.float32)
        >>> evaluated(jnp.asarray, lambda part: samples[part], np.array([0, 1, 1]), lambda logits, _: logits.mean())[1]
        0.6666666666666666
    """
    loss, right = 0.0, 0
    for start in range(0, len(labels), TEST_BATCH):
        part = slice(start, start + TEST_BATCH)
        logits, wanted = predict(inputs(part)), labels[part]
        loss += float(criterion(logits, jnp.asarray(wanted))) * len(wanted)
        right += int((np.asarray(logits).argmax(-1) == wanted).sum())
    return loss / len(labels), right / len(labels)
