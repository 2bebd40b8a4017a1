"""The one place where expressions become functions of numbers.

``sympy.lambdify`` prints some functions wrongly or not at all, so only here is it called, and the tests
compare every equation that passes through with SymPy's own evaluation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sympy

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


@lru_cache(maxsize=512)
def numeric(expression: sympy.Basic, arguments: tuple[sympy.Symbol, ...]) -> Callable[..., Any]:
    """Return a NumPy function of ``arguments`` that evaluates ``expression``.

    Args:
        expression: Expression, or ``Tuple`` of them, whose symbols are among the arguments.
        arguments: Symbols in the order in which their values are passed: floats, or arrays that broadcast.

    Returns:
        The function; a tuple of results for a ``Tuple``. Compiled once for each expression.

    Raises:
        ValueError: The expression has a symbol that is no argument.

    Example:
        >>> from speedup.formulas.symbols import N, t_comm
        >>> numeric(N * t_comm, (N, t_comm))(8.0, 0.5)
        4.0
    """
    strangers = expression.free_symbols - set(arguments)
    if strangers:
        raise ValueError(f"expression has symbols that are no arguments: {sorted(map(str, strangers))}")
    # Only SciPy has harmonic numbers, and it is loaded by those who need it. SymPy prints them as a sum without the
    # parentheses that a factor before it needs.
    modules = ["scipy", "numpy"] if expression.has(sympy.harmonic) else "numpy"
    expression = expression.replace(sympy.harmonic, lambda n: sympy.polygamma(0, n + 1) + sympy.EulerGamma)
    # No cse: it pulls 1/N out of floor(D/N), and 237 * (1/237) is below 1.
    function: Callable[..., Any] = sympy.lambdify(arguments, with_expm1(expression), modules=modules, cse=False)
    return function


def with_expm1(expression: sympy.Basic) -> sympy.Basic:
    """Return an expression in which exp(x) - 1 is a function of its own.

    It has no digits left where x is small, as failures are beside a run that hardly ever meets one.
    """
    if not expression.has(sympy.exp):
        return expression
    from sympy.codegen.rewriting import expm1_opt, optimize  # noqa: PLC0415 - costs more than most expressions

    return optimize(expression, [expm1_opt])


def equation_value(number: str, **values: ArrayLike) -> Any:  # noqa: ANN401 - as NumPy gives it
    """Return the value of an equation of the catalogue.

    Args:
        number: Its number.
        values: Of its symbols, by name; those that it has not are left out.

    Example:
        >>> equation_value("C.1", N=4, t_comm=1.0, a=0.0)
        1.5
    """
    from speedup.formulas import CATALOGUE  # noqa: PLC0415 - made with the first equation that is asked for

    expression = CATALOGUE[number].expression
    symbols = tuple(sorted(expression.free_symbols, key=str))
    return numeric(expression, symbols)(*(values[str(symbol)] for symbol in symbols))
