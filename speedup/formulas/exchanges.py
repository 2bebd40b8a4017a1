r"""Exchanges of gradients beyond the thesis: sharded servers, all-reduces, machines of several accelerators, overlap.

W is t_comm, all gradients once over a link in one direction; a the latency of a message. N workers are in
:math:`m = \lceil N / r \rceil` machines of r; the accelerators of a machine share its link. Inside a machine the same
letters have a bar: :math:`\bar W` is t_intra, :math:`\bar a` its latency.
"""

from __future__ import annotations

from sympy import Expr, Max, Min, Piecewise, Rational, ceiling, floor, log

from speedup.formulas.symbols import (
    B,
    D,
    H,
    L,
    N,
    a,
    a_intra,
    f_back,
    gamma,
    k,
    omega,
    r,
    t_comm,
    t_grad,
    t_intra,
    t_net,
)

_ROUNDING = Rational(1, 10**12)


def machines(N: Expr = N, r: Expr = r) -> Expr:
    r"""Return the machines of N workers, :math:`m = \lceil N/r \rceil`."""
    return ceiling(N / r)


def t_sharded(N: Expr = N, k: Expr = k, t_comm: Expr = t_comm) -> Expr:
    r"""Return weights to all workers, then gradients from all, of k servers with a shard each [s], equation K.1.

    .. math:: t_{net} = 2 \max(W, N W / k)

    Either the servers' links are full, or the workers' own. k = 1 is the thesis's worst case (4.9).
    """
    return 2 * Max(t_comm, N * t_comm / k)


def t_pipelined(N: Expr = N, k: Expr = k, t_comm: Expr = t_comm) -> Expr:
    r"""Return the same where a piece is sent back as soon as it is summed: both directions at once [s], equation K.2.

    .. math:: t_{net} = \max(W, N W / k)
    """
    return Max(t_comm, N * t_comm / k)


def t_byteps(N: Expr = N, k: Expr = k, t_comm: Expr = t_comm) -> Expr:
    r"""Return k machines without accelerators that help N workers to sum, in the best proportion [s], equation K.3.

    .. math:: t_{net} = \frac{2 N (N - 1)}{N^2 + k N - 2 k} W, \qquad 0 \le k \le N

    k = 0 is a ring, k = N sends everything once each way. Source: Jiang et al., *A unified architecture for
    accelerating distributed DNN training in heterogeneous GPU/CPU clusters* (BytePS), OSDI 2020, section 4.1.
    """
    helpers, several = Min(k, N), Max(N, 2)
    # One worker has nobody to sum with, whatever it is divided by.
    return 2 * N * (N - 1) * t_comm / (several**2 + helpers * several - 2 * helpers)


def t_colocated(N: Expr = N, k: Expr = k, t_comm: Expr = t_comm) -> Expr:
    r"""Return an exchange with k shards on machines that are workers too [s], equation K.5.

    .. math:: t_{net} = 2 \frac{N - 1}{k} W, \qquad k \le N

    A shard's machine sends it to all others and takes all their gradients of it. k = N is 4.12's exchange.
    """
    return 2 * (N - 1) * t_comm / k


def t_train_sharded(N: Expr = N, D: Expr = D, k: Expr = k, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return an asynchronous run with k servers, whose workers never meet at a server [s], equation K.4.

    .. math:: t_{train} = \frac{D}{N} \max(t_{grad} + 2 W, N W / k)

    Times that vary make them meet: see ``speedup.queueing``.
    """
    return D / N * Max(t_grad + 2 * t_comm, N * t_comm / k)


def t_train_pipelined(N: Expr = N, D: Expr = D, k: Expr = k, t_comm: Expr = t_comm, t_grad: Expr = t_grad) -> Expr:
    r"""Return an asynchronous run with k servers that send a piece back as soon as they have it [s], equation K.6.

    .. math:: t_{train} = \frac{D}{N} \max(t_{grad} + W, N W / k)

    A worker's transfers overlap each other; each direction of a server's link carries as much as in K.4.
    """
    return D / N * Max(t_grad + t_comm, N * t_comm / k)


def t_ring(N: Expr = N, t_comm: Expr = t_comm, a: Expr = a) -> Expr:
    r"""Return an all-reduce around a ring [s], equation C.1.

    .. math:: t_{net} = 2 (N - 1)\,a + 2 \frac{N-1}{N} W

    Source: Thakur, Rabenseifner, Gropp, *Optimization of collective communication operations in MPICH*, 2005.
    """
    return 2 * (N - 1) * a + 2 * (N - 1) / N * t_comm


def t_halving_doubling(N: Expr = N, t_comm: Expr = t_comm, a: Expr = a) -> Expr:
    r"""Return an all-reduce by recursive halving and doubling [s], equation C.2.

    .. math:: t_{net} = 2 \log_2 P\,a + 2 \frac{P-1}{P} W \;(+\, 2 a + 2 W \text{ if } P < N), \quad
              P = 2^{\lfloor \log_2 N \rfloor}

    The workers beyond a power of two hand theirs to another one first, and get the sum at the end, as in MPICH.
    Source: as C.1.
    """
    steps = floor(log(N, 2) + _ROUNDING)
    power = 2**steps
    return 2 * steps * a + 2 * (power - 1) / power * t_comm + Piecewise((2 * a + 2 * t_comm, power < N), (0, True))


def t_recursive_doubling(N: Expr = N, t_comm: Expr = t_comm, a: Expr = a) -> Expr:
    r"""Return an all-reduce of whole messages by recursive doubling [s], equation C.3.

    .. math:: t_{net} = \lceil \log_2 N \rceil (a + W)

    The quickest for small messages. Source: as C.1.
    """
    return ceiling(log(N, 2) - _ROUNDING) * (a + t_comm)


def t_tree(N: Expr = N, t_comm: Expr = t_comm, a: Expr = a) -> Expr:
    r"""Return an all-reduce over two binary trees, up and down, each with half of the data [s], equation C.4.

    .. math:: t_{net} = 2 \lceil \log_2 N \rceil\,a + 2 W

    for more than one worker. Source: Sanders, Speck, Traff, *Two-tree algorithms for full bandwidth broadcast,
    reduction and scan*, 2009; NCCL 2.4.
    """
    return Piecewise((2 * ceiling(log(N, 2) - _ROUNDING) * a + 2 * t_comm, N > 1), (0, True))


def t_within(r: Expr = r, t_intra: Expr = t_intra, a_intra: Expr = a_intra) -> Expr:
    r"""Return what a machine of r accelerators does before and after machines talk to each other [s], equation C.5.

    .. math:: t = 2 (r - 1)\,\bar a + 2 \frac{r-1}{r} \bar W

    A reduce-scatter before, an all-gather after.
    """
    return t_ring(r, t_intra, a_intra)


def t_flat_ring(
    N: Expr = N,
    r: Expr = r,
    t_comm: Expr = t_comm,
    a: Expr = a,
    t_intra: Expr = t_intra,
    a_intra: Expr = a_intra,
) -> Expr:
    r"""Return a ring through all accelerators of all machines, as slow as its slowest link [s], equation C.6.

    .. math:: t_{net} = 2 (N - 1) \max(a, \bar a) + 2 \frac{N-1}{N} \max(W, \bar W)

    In one machine alone it is the ring of its own links.
    """
    around = t_ring(N, Max(t_comm, t_intra), Max(a, a_intra))
    return Piecewise((around, r < N), (t_ring(N, t_intra, a_intra), True))


def t_hierarchical(
    N: Expr = N,
    r: Expr = r,
    t_comm: Expr = t_comm,
    a: Expr = a,
    t_intra: Expr = t_intra,
    a_intra: Expr = a_intra,
) -> Expr:
    r"""Return an all-reduce inside the machines and a ring between them [s], equation C.7.

    .. math:: t_{net} = t_{C.5}(r) + 2 (m - 1)\,a + 2 \frac{m-1}{m} W

    r rings between the machines carry 1/r of the bytes each, over links that they share.
    """
    return t_within(Min(r, N), t_intra, a_intra) + t_ring(machines(N, r), t_comm, a)


def t_iter_hidden(
    t_net: Expr = t_net, t_grad: Expr = t_grad, f_back: Expr = f_back, L: Expr = L, omega: Expr = omega
) -> Expr:
    r"""Return an iteration that sends the gradients of a layer while those before it are computed [s], equation O.1.

    .. math:: t_{iter} = t_{grad} + t_{net} - c \min(t_{net}, f\,t_{grad}), \qquad c = \omega (1 - 1/L)

    Wait-free backpropagation over L layers alike, of a backward pass that takes the share f of t_grad: the first
    layer to be sent waits for its gradient, the last one is sent when nothing is left to compute. omega = 1 hides all
    that can be hidden, 0 nothing. Source: Zhang et al., *Poseidon*, USENIX ATC 2017.
    """
    hidden = omega * (1 - 1 / L)
    # The larger of two lines in t_net, so that it can be solved for it.
    return t_grad + Max((1 - hidden) * t_net, t_net - hidden * f_back * t_grad)


def t_train_exchanges(
    t_net: Expr = t_net, N: Expr = N, D: Expr = D, t_grad: Expr = t_grad, H: Expr = H, B: Expr = B
) -> Expr:
    r"""Return a run of iterations that all workers take part in, with an exchange every H of them [s], equation O.3.

    .. math:: t_{train} = I\,t_{grad} + \lceil I / H \rceil\,t_{net}, \qquad I = \lceil D / (N - B) \rceil

    The gradients of B workers are not waited for, and are lost. sync-split has t_grad / N and I = D. Sources: Stich,
    *Local SGD converges fast and communicates little*, 2019; Chen et al., *Revisiting distributed synchronous SGD*,
    2016.
    """
    iterations = ceiling(D / (N - B))
    return iterations * t_grad + ceiling(iterations / H) * t_net


def t_iter_norm(t_net: Expr = t_net, t_grad: Expr = t_grad, gamma: Expr = gamma) -> Expr:
    r"""Return an iteration whose overlap is known by a number from runs [s], equation O.2.

    .. math:: t_{iter} = (t_{grad}^\gamma + t_{net}^\gamma)^{1/\gamma}, \qquad \gamma \ge 1

    gamma = 1 hides nothing, a large one all of the shorter. Source: Qiao et al., *Pollux*, OSDI 2021, section 3.2.
    """
    longer = Max(t_net, t_grad)
    return longer * ((t_grad / longer) ** gamma + (t_net / longer) ** gamma) ** (1 / gamma)
