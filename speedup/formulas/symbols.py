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
k = _count("k")
r = _count("r")
L = _count("L")
H = _count("H")
a = Symbol("a", nonnegative=True)
a_intra = Symbol("a_intra", nonnegative=True)
t_intra = Symbol("t_intra", nonnegative=True)
t_net = _duration("t_net")
omega = Symbol("omega", nonnegative=True)
gamma = Symbol("gamma", positive=True)
f_back = Symbol("f_back", positive=True)
t_min = _duration("t_min")
t_serve = _duration("t_serve")
B = Symbol("B", nonnegative=True)
r_sum = _count("r_sum")
r_min = _count("r_min")
m = _count("m")
m_stop = _count("m_stop")
t_fail = _duration("t_fail")
t_save = _duration("t_save")
t_restart = _duration("t_restart")
tau = _duration("tau")
m_0 = _count("m_0")
b = _count("b")
B_n = _count("B_n")
S_min = _count("S_min")
S_steps = _count("S_steps")
E_min = _count("E_min")
eta_max = Symbol("eta_max", positive=True)
c = Symbol("c", nonnegative=True)
q_b = Symbol("q_b", positive=True)
q_m = Symbol("q_m", positive=True)

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
    Quantity(k, "1", "k", "machines that hold a shard of the weights each"),
    Quantity(r, "1", "r", "accelerators of a machine, which share its link"),
    Quantity(a, "s", "a", "latency of a message between machines"),
    Quantity(a_intra, "s", r"\bar a", "latency of a message inside a machine"),
    Quantity(t_intra, "s", r"\bar W", "all gradients once over a link inside a machine"),
    Quantity(t_net, "s", r"t_{\mathrm{net}}", "exchange of all gradients, if nothing else goes on"),
    Quantity(L, "1", "L", "layers, or buckets, whose gradients are sent one after another"),
    Quantity(H, "1", "H", "steps of a worker between two exchanges"),
    Quantity(f_back, "1", "f", "share of the backward pass in t_grad"),
    Quantity(omega, "1", r"\omega", "share that is hidden of what could be hidden"),
    Quantity(gamma, "1", r"\gamma", "exponent of overlap"),
    Quantity(
        t_min, "s", r"t_{\min}", "shortest gradient, where gradients take shifted exponential times of mean t_grad"
    ),
    Quantity(t_serve, "s", r"t_{\mathrm{serve}}", "work of one server for one gradient of all weights"),
    Quantity(B, "1", "B", "backup workers: the slowest of N, whose gradients are dropped"),
    Quantity(r_sum, "1", r"r_{\Sigma}", "sum of the speeds of the workers; 1 is that of one with t_grad"),
    Quantity(r_min, "1", r"r_{\min}", "speed of the slowest worker; 1 is that of one with t_grad"),
    Quantity(m_stop, "1", r"m_{\mathrm{stop}}", "machines any of which stops the run when it fails"),
    Quantity(t_fail, "s", r"t_{\mathrm{fail}}", "mean time to the failure of one machine"),
    Quantity(t_save, "s", r"t_{\mathrm{save}}", "saving a checkpoint"),
    Quantity(t_restart, "s", r"t_{\mathrm{restart}}", "going on from the last checkpoint after a failure"),
    Quantity(tau, "s", r"\tau", "work between two checkpoints"),
    Quantity(m, "1", "m", "samples of one update, those of all workers together"),
    Quantity(m_0, "1", "m_0", "samples of one update of what is compared with"),
    Quantity(b, "1", "b", "samples of a batch of one worker"),
    Quantity(B_n, "1", "B_n", "gradient noise scale, in samples"),
    Quantity(S_min, "1", r"S_{\min}", "updates to the target with an infinite batch"),
    Quantity(S_steps, "1", r"S_{\mathrm{steps}}", "updates to the target"),
    Quantity(E_min, "1", r"E_{\min}", "samples to the target with the smallest batch"),
    Quantity(eta_max, "1", r"\eta_{\max}", "best learning rate of an infinite batch"),
    Quantity(c, "1", "c", "cost of staleness: steps of an infinite batch for each update of age, assumed"),
    Quantity(q_b, "1", r"\lvert G_b \rvert^2", "expected squared norm of the gradient of b samples"),
    Quantity(q_m, "1", r"\lvert G_m \rvert^2", "expected squared norm of the gradient of m samples"),
)

LATEX_NAMES = {quantity.symbol: quantity.latex for quantity in QUANTITIES}
