"""Formulas as MathML, which browsers typeset without a script."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sympy
from sympy.printing.mathml import MathMLPresentationPrinter

from speedup.report.markup import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sympy import Expr, Symbol

# A product with a number on its right needs its sign; a remainder that is a factor has its parentheses already.
_BEFORE_A_NUMBER = re.compile(r"<mo>&InvisibleTimes;</mo>(?=(?:<m(?:row|sup|frac)>)*<mn>)")
_TWICE = re.compile(r"<mo>\(</mo>(<mrow><mo>\(</mo>(?:(?!<mo>[()]</mo>).)*<mo>\)</mo></mrow>)<mo>\)</mo>")
_ROUNDING = sympy.Rational(1, 10**12)


class _Log2(sympy.Function):  # type: ignore[misc]  # SymPy has no types
    """The logarithm to base 2, which SymPy writes as a quotient."""

    nargs = 1


class _Printer(MathMLPresentationPrinter):  # type: ignore[misc]  # SymPy has no types
    """What SymPy prints, but cases, remainders and numbers as people write them."""

    def __init__(self, values: Mapping[Symbol, float]) -> None:
        super().__init__()
        self._values = values

    def _row(self, *parts: Any) -> Any:  # noqa: ANN401 - nodes of the document
        row = self.dom.createElement("mrow")
        for part in parts:
            row.appendChild(self._word("mo", part) if isinstance(part, str) else part)
        return row

    def _word(self, tag: str, text: str) -> Any:  # noqa: ANN401 - a node
        node = self.dom.createElement(tag)
        node.appendChild(self.dom.createTextNode(text))
        return node

    def _print_Symbol(self, sym: Symbol, style: str = "plain") -> Any:  # noqa: ANN401, N802 - SymPy's name for it
        if sym not in self._values:
            return super()._print_Symbol(sym, style)
        digits, _, power = f"{self._values[sym]:.6g}".partition("e")
        if not power:
            return self._word("mn", digits)
        ten = self.dom.createElement("msup")
        ten.appendChild(self._word("mn", "10"))
        ten.appendChild(self._word("mn", str(int(power))))
        return self._row(self._word("mn", digits), "\xd7", ten)

    def _print_Mod(self, expr: Expr) -> Any:  # noqa: ANN401, N802
        number, divisor = (self._print(one) for one in expr.args)
        apart = self._row("(", number, ")") if expr.args[0].is_Add else number
        return self._row("(", apart, "mod", divisor, ")")

    def _print__Log2(self, expr: Expr) -> Any:  # noqa: ANN401, N802
        base = self.dom.createElement("msub")
        base.appendChild(self._word("mi", "log"))
        base.appendChild(self._word("mn", "2"))
        return self._row(base, self._print(expr.args[0]))

    def _print_Piecewise(self, expr: Expr) -> Any:  # noqa: ANN401, N802
        table = self.dom.createElement("mtable")
        table.setAttribute("columnalign", "left")
        for value, condition in expr.args:
            row = self.dom.createElement("mtr")
            said = self._word("mtext", "otherwise")
            if condition != sympy.true:
                said = self._row(self._word("mtext", "if\xa0"), self._print(condition))
            for part in (self._print(value), said):
                cell = self.dom.createElement("mtd")
                cell.appendChild(part)
                row.appendChild(cell)
            table.appendChild(row)
        return self._row("{", table)


def mathml(left: str, expression: Expr, values: Mapping[Symbol, float] | None = None) -> Markup:
    """Return ``left = expression`` as MathML.

    Args:
        left: Name of what is given, with its index after an underscore.
        expression: What it is.
        values: Numbers that stand in the place of symbols, nothing worked out; none if left out.

    Example:
        >>> from speedup.formulas.symbols import N
        >>> mathml("t_net", 2 * N)[-75:]
        '<mo>=</mo><mrow><mn>2</mn><mo>&InvisibleTimes;</mo><mi>N</mi></mrow></math>'
    """
    shown = expression.subs(_ROUNDING, 0).subs(-_ROUNDING, 0)
    shown = shown.replace(
        lambda one: isinstance(one, sympy.log) and one.args[0] != 2,
        lambda one: _Log2(one.args[0]) * sympy.log(2),
    )
    printer = _Printer(values or {})
    right = _TWICE.sub(r"\1", _BEFORE_A_NUMBER.sub("<mo>\xb7</mo>", printer.doprint(shown)))
    return Markup(f'<math display="block">{printer.doprint(sympy.Symbol(left))}<mo>=</mo>{right}</math>')
