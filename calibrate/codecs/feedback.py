"""Error feedback: what a message loses is added to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speedup.payloads import Shapes

    from .base import Array, Codec, Message


class ErrorFeedback:
    r"""What one sender keeps of what its messages lost: 4 P bytes.

    .. math:: m_t = C(g_t + r_{t-1}), \qquad r_t = g_t + r_{t-1} - m_t

    so that all messages together are all gradients less the last residual, which stays bounded. A sender decodes its
    own messages, which belongs to the time of encoding. Source: Seide et al. 2014; Karimireddy et al. 2019.

    Args:
        codec: How messages are made.
        shapes: Shape of each tensor, the same in every round.

    Example:
        >>> from calibrate.codecs import codec
        >>> from speedup.payloads import TopK
        >>> feedback = ErrorFeedback(codec(TopK(fraction=0.5)), [(2,)])
        >>> for _ in range(3):
        ...     message = feedback.send([np.array([2.0, 1.5], np.float32)])
        ...     print(codec(TopK(fraction=0.5)).decode(message, [(2,)])[0].tolist(), feedback.residual[0].tolist())
        [2.0, 0.0] [0.0, 1.5]
        [0.0, 3.0] [2.0, 0.0]
        [4.0, 0.0] [0.0, 1.5]
    """

    def __init__(self, codec: Codec[Any], shapes: Shapes) -> None:
        self._codec = codec
        self._shapes = [tuple(shape) for shape in shapes]
        self.residual: list[Array] = [np.zeros(shape, np.float32) for shape in self._shapes]

    def send(self, values: Sequence[Array]) -> Message:
        """Return the message for values and the residual, and keep what it loses.

        Args:
            values: Gradients of this round.

        Raises:
            CodecError: As ``Codec.encode``; the residual is then what it was.
        """
        wanted = self.wanted(values)
        message = self._codec.encode(wanted)
        self.keep(wanted, self._codec.decode(message, self._shapes))
        return message

    def wanted(self, values: Sequence[Array]) -> list[Array]:
        """Return values and the residual together: what the next message should say."""
        return [np.asarray(value + kept) for value, kept in zip(values, self.residual, strict=True)]

    def keep(self, wanted: list[Array], sent: Sequence[Array]) -> None:
        """Make what was not sent of ``wanted`` the residual; it takes the place of ``wanted``."""
        self.residual = [np.subtract(whole, part, out=whole) for whole, part in zip(wanted, sent, strict=True)]
