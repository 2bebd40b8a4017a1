"""The symbolic model: one function an equation, a catalogue by number, t_train for every plan.

Read ``CATALOGUE["4.12"]`` for one equation, ``formula("async", "central", schedule="best")`` for the time of
a whole run. Expressions are SymPy's: solve, differentiate or ``latex()`` them.
"""

from speedup.formulas.catalogue import (
    CATALOGUE,
    METHODS,
    Equation,
    check_method,
    formula,
    latex,
    plan_formula,
)
from speedup.formulas.runs import exchange_formula, run_of_exchanges
from speedup.formulas.solving import fewest_shards, largest_t_comm
from speedup.formulas.symbols import QUANTITIES, Quantity

__all__ = [
    "CATALOGUE",
    "METHODS",
    "QUANTITIES",
    "Equation",
    "Quantity",
    "check_method",
    "exchange_formula",
    "fewest_shards",
    "formula",
    "largest_t_comm",
    "latex",
    "plan_formula",
    "run_of_exchanges",
]
