"""Formulas as JavaScript: what SymPy prints, but only of what it is known to print rightly.

SymPy's printer writes what it does not know, such as a sum, as if it were JavaScript. So the kinds of node that an
expression may have are listed here, and in a browser the tests compare every formula with Python (ADR 0028).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sympy
from sympy.printing.jscode import JavascriptCodePrinter

from speedup.errors import SpeedupError
from speedup.formulas.catalogue import CATALOGUE
from speedup.numeric import with_expm1

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sympy import Basic, Expr

ALLOWED = (
    "Add", "Mul", "Pow", "Max", "Min", "floor", "ceiling", "Mod", "log", "exp", "expm1", "harmonic",
    "Piecewise", "ExprCondPair", "StrictGreaterThan", "StrictLessThan", "GreaterThan", "LessThan", "BooleanTrue",
    "Symbol", "Integer", "Rational", "Float", "Half", "One", "Zero", "NegativeOne",
)  # fmt: skip
"""Kinds of node that are printed; ``harmonic`` is a function of the page's own."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
HARMONIC = """\
// H(x) = psi(x + 1) + gamma: upward to where the asymptotic series has all digits.
const harmonic = (x) => {
  let below = 0;
  for (; x < 16; x += 1) below += 1 / (x + 1);
  const q = 1 / (x * x);
  const series = 1 / (2 * x) - q * (1 / 12 - q * (1 / 120 - q * (1 / 252 - q * (1 / 240 - q / 132))));
  return Math.log(x) + 0.5772156649015329 + series - below;
};
"""


class JavaScriptError(SpeedupError):
    """A formula that cannot be printed as JavaScript."""


class _Printer(JavascriptCodePrinter):  # type: ignore[misc]  # SymPy has no types
    def __init__(self) -> None:
        super().__init__({"user_functions": {"expm1": "Math.expm1", "harmonic": "harmonic"}})

    def _print_Mod(self, expr: Basic) -> str:  # noqa: N802 - SymPy's name for it
        # Of numbers that are not negative, as all counts are, JavaScript's remainder is the modulus.
        number, divisor = (self.parenthesize(one, 1000) for one in expr.args)
        return f"({number} % {divisor})"


def javascript(expression: Expr) -> str:
    """Return an expression as JavaScript, in its symbols' own names.

    Args:
        expression: Of the kinds of node in ``ALLOWED``.

    Raises:
        JavaScriptError: It has another kind of node, or a symbol whose name is none in JavaScript.

    Example:
        >>> from speedup.formulas import formula
        >>> print(javascript(formula("async", "central", schedule="worst")))
        D*(2*N*t_comm + t_grad)/N
        >>> print(javascript(CATALOGUE["W.4"].expression))
        (t_grad + 2*t_comm*(N - 1)/N)*Math.ceil(D/N)
    """
    prepared = with_expm1(expression)
    for node in sympy.preorder_traversal(prepared):
        kind = type(node).__name__
        if kind not in ALLOWED:
            raise JavaScriptError(
                f"{kind} in {expression} is not known to be printed rightly as JavaScript. Known: {', '.join(ALLOWED)}."
            )
        if isinstance(node, sympy.Symbol) and not _NAME.fullmatch(node.name):
            raise JavaScriptError(f'symbol "{node.name}" in {expression} is no name in JavaScript.')
    return " ".join(str(_Printer().doprint(prepared)).split())


def function(expression: Expr) -> str:
    """Return an expression as a JavaScript function of one object with the symbols' values.

    Example:
        >>> from speedup.formulas.symbols import N, t_comm
        >>> print(function(N * t_comm))
        ({N, t_comm}) => N*t_comm
    """
    names = ", ".join(sorted(symbol.name for symbol in expression.free_symbols))
    return f"({{{names}}}) => {javascript(expression)}"


def functions(expressions: Iterable[Expr]) -> str:
    """Return JavaScript that makes a list, ``formulas``, of the functions of expressions, in their order."""
    lines = "".join(f"  {function(one)},\n" for one in expressions)
    return f"{HARMONIC}const formulas = [\n{lines}];\n"


def of_catalogue() -> tuple[dict[str, tuple[Expr, ...]], dict[str, str]]:
    """Return the equations of the catalogue that are printed, a bound each where there are two; and why others are not.

    Example:
        >>> printed, left_out = of_catalogue()
        >>> len(printed) + len(left_out) == len(CATALOGUE), list(left_out)
        (True, ['Q.1'])
    """
    printed: dict[str, tuple[Expr, ...]] = {}
    left_out: dict[str, str] = {}
    for number, equation in CATALOGUE.items():
        pair = isinstance(equation.expression, sympy.Tuple)
        expressions = tuple(equation.expression) if pair else (equation.expression,)
        try:
            for one in expressions:
                javascript(one)
        except JavaScriptError as error:
            left_out[number] = str(error)
        else:
            printed[number] = expressions
    return printed, left_out
