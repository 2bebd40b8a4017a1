"""The glossary as code: every symbol of the model with its unit, its LaTeX and the source's own letter.

Counts are positive reals here, although workers and batches come in whole numbers: the formulas are
differentiated and solved in them (ADR 0002).
"""

from __future__ import annotations

from dataclasses import dataclass

from sympy import Symbol


@dataclass(frozen=True, slots=True)
class Quantity:
    """One symbol and what it stands for.

    Attributes:
        symbol: The SymPy symbol, with its assumption.
        unit: SI unit, or ``1`` for a pure number.
        latex: How it is typeset.
        meaning: One line.
    """

    symbol: Symbol
    unit: str
    latex: str
    meaning: str


def _count(name: str) -> Symbol:
    return Symbol(name, positive=True)


def _duration(name: str) -> Symbol:
    # Positive, not merely nonnegative: else solve() keeps negative worker counts it cannot rule out.
    return Symbol(name, positive=True)


N = _count("N")
D = _count("D")
I = _count("I")
t_grad = _duration("t_grad")
t_comm = _duration("t_comm")
t_up = _duration("t_up")
t_down = _duration("t_down")
t_prepare = _duration("t_prepare")
t_train = _duration("t_train")
t_finish = _duration("t_finish")
t_iter = _duration("t_iter")
t_iter_ps = _duration("t_iter_ps")
t_iter_1 = _duration("t_iter_1")
t_iter_N = _duration("t_iter_N")
t_sem = _duration("t_sem")
t_serial = _duration("t_serial")
t_parallel = _duration("t_parallel")
S = _count("S")
X = Symbol("X", positive=True)
f_max = Symbol("f_max", positive=True)
f_min = Symbol("f_min", nonnegative=True)
t_min = _duration("t_min")
t_serve = _duration("t_serve")
B = _count("B")
H = _count("H")
K = _count("K")
r_sum = _count("r_sum")
r_min = _count("r_min")

QUANTITIES = (
    Quantity(N, "1", "N", "workers"),
    Quantity(D, "1", "D", "batches of the whole run"),
    Quantity(I, "1", "I", "consecutive iterations of synchronous training"),
    Quantity(t_grad, "s", r"t_{\mathrm{grad}}", "gradient of one batch on one worker"),
    Quantity(t_comm, "s", r"t_{\mathrm{comm}}", "all weights, or all gradients, once between server and one worker"),
    Quantity(t_up, "s", r"t_{\mathrm{up}}", "all gradients once from a worker to the server"),
    Quantity(t_down, "s", r"t_{\mathrm{down}}", "all weights once from the server to a worker"),
    Quantity(t_prepare, "s", r"t_{\mathrm{prepare}}", "preparing the run; neglected"),
    Quantity(t_train, "s", r"t_{\mathrm{train}}", "training, without preparing and finishing"),
    Quantity(t_finish, "s", r"t_{\mathrm{finish}}", "finishing the run; neglected"),
    Quantity(t_iter, "s", r"t_{\mathrm{iter}}", "one iteration of synchronous training"),
    Quantity(t_iter_ps, "s", r"t_{\mathrm{iter},ps}", "one iteration as the server sees it"),
    Quantity(t_iter_1, "s", r"t_{\mathrm{iter},1}", "one iteration as the first worker sees it"),
    Quantity(t_iter_N, "s", r"t_{\mathrm{iter},N}", "one iteration as the last worker sees it"),
    Quantity(t_sem, "s", r"t_{\mathrm{sem}}", "one transfer guarded by the semaphore, queueing included"),
    Quantity(t_serial, "s", r"t_{\mathrm{serial}}", "the run on one worker"),
    Quantity(t_parallel, "s", r"t_{\mathrm{parallel}}", "the run on N workers"),
    Quantity(S, "1", "S", "speedup"),
    Quantity(X, "1/s", "X", "throughput: batches by second"),
    Quantity(f_max, "1", r"f_{\max}", "largest share of the weights on one unit of a distributed server"),
    Quantity(f_min, "1", r"f_{\min}", "smallest share of the weights on one unit of a distributed server"),
    Quantity(
        t_min, "s", r"t_{\min}", "shortest gradient, where gradients take shifted exponential times of mean t_grad"
    ),
    Quantity(t_serve, "s", r"t_{\mathrm{serve}}", "work of one server for one gradient of all weights"),
    Quantity(B, "1", "B", "backup workers: the slowest of N, whose gradients are dropped"),
    Quantity(H, "1", "H", "local steps between two rounds of communication"),
    Quantity(K, "1", "K", "servers among which the weights are shared out"),
    Quantity(r_sum, "1", r"r_{\Sigma}", "sum of the speeds of the workers; 1 is that of one with t_grad"),
    Quantity(r_min, "1", r"r_{\min}", "speed of the slowest worker; 1 is that of one with t_grad"),
)

LATEX_NAMES = {quantity.symbol: quantity.latex for quantity in QUANTITIES}
