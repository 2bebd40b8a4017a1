"""What JAX may do inside a timed call that makes its duration another than that of a step.

Compiling anew in every call, and giving arguments away that the next call wants again. JAX is not imported
here: where it is not loaded, neither can happen.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from speedup.errors import SpeedupError
from speedup.units import show_seconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_COMPILED = "/jax/core/compile/backend_compile_duration"
_DELETED = ("has been deleted", "deleted or donated")


class RecompilationError(SpeedupError):
    """A timed callable that compiles while it is timed."""


class DonatedArgumentsError(SpeedupError):
    """A timed callable that gives its arguments away and is called with them again."""


class Compilations:
    """Counts what JAX compiles between entering and leaving.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> with Compilations() as compilations:
        ...     _ = jax.jit(lambda x: x + 1)(jnp.ones(3))
        ...     compilations.forget()
        ...     compilations.refuse()
    """

    def __init__(self) -> None:
        self._durations_s = list[float]()
        self._jax: Any = None

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._jax is not None:
            self._jax.monitoring.unregister_event_duration_listener(self._heard)

    def _listen(self) -> None:
        if self._jax is None and "jax" in sys.modules:
            self._jax = sys.modules["jax"]
            self._jax.monitoring.register_event_duration_secs_listener(self._heard)

    def _heard(self, event: str, duration_s: float, **_details: object) -> None:
        if event == _COMPILED:
            self._durations_s.append(duration_s)

    def forget(self) -> None:
        """Begin counting anew; a first call is free to compile, and to import JAX."""
        self._listen()
        self._durations_s.clear()

    def refuse(self) -> None:
        """Refuse what was counted.

        Raises:
            RecompilationError: Something was compiled.
        """
        count = len(self._durations_s)
        if count:
            raise RecompilationError(
                f"your step made JAX compile {count} time{'s' if count > 1 else ''} while it was timed "
                f"({show_seconds(sum(self._durations_s))} of compiling); a step that repeats must not. Make the "
                "jitted function once, outside the step, and give it the same shapes and types in every call."
            )


def explained(call: Callable[[], object]) -> Callable[[], object]:
    """Return ``call``, with JAX's error of a deleted array from the second call on put into words.

    Args:
        call: The timed call.

    Returns:
        A function that raises ``DonatedArgumentsError`` for it, and lets every other error pass.
    """
    returned = False

    def guarded() -> object:
        nonlocal returned
        try:
            value = call()
        except (RuntimeError, ValueError) as error:
            if returned and any(words in str(error) for words in _DELETED):
                raise DonatedArgumentsError(
                    "your step donates its arguments: the first call gave their memory away, and they cannot be "
                    "passed again. Keep the result and hand it to the next call, as training does "
                    "(nonlocal state; state = step(state)), or jit without donate_argnums."
                ) from error
            raise
        returned = True
        return value

    return guarded
