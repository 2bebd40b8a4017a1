r"""Statistical efficiency: steps, samples and time to a target loss when the batch grows.

:math:`B_n` is the gradient noise scale, :math:`\operatorname{tr}\Sigma / |G|^2` with the mean gradient G and the
covariance :math:`\Sigma` of the gradients of single samples, in samples; m the samples of one update, those of all
workers together; b those of one worker's batch. Sources: McCandlish, Kaplan, Amodei, *An empirical model of
large-batch training*, 2018; Qiao et al., *Pollux*, OSDI 2021; Johnson et al., *AdaScale SGD*, ICML 2020.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speedup.formulas.symbols import (
    B_n,
    E_min,
    N,
    S_min,
    S_steps,
    X,
    b,
    c,
    eta_max,
    m,
    m_0,
    q_b,
    q_m,
    t_iter,
)

if TYPE_CHECKING:
    from sympy import Expr


def steps(m: Expr = m, B_n: Expr = B_n, S_min: Expr = S_min) -> Expr:
    r"""Return the updates to a target, equation E.1.

    .. math:: S = S_{min} (1 + B_n / m)

    Source: McCandlish et al., 2018, equation 2.7 summed up over a run.
    """
    return S_min * (1 + B_n / m)


def examples(m: Expr = m, B_n: Expr = B_n, E_min: Expr = E_min) -> Expr:
    r"""Return the samples to a target, equation E.2.

    .. math:: E = m S = E_{min} (1 + m / B_n), \qquad E_{min} = S_{min} B_n
    """
    return E_min * (1 + m / B_n)


def examples_of_steps(S_steps: Expr = S_steps, S_min: Expr = S_min, E_min: Expr = E_min) -> Expr:
    r"""Return the samples to a target from the updates to it, equation E.3.

    .. math:: (S / S_{min} - 1) (E / E_{min} - 1) = 1

    solved for E. Source: McCandlish et al., 2018, equation 2.11.
    """
    return E_min * (1 + 1 / (S_steps / S_min - 1))


def learning_rate(m: Expr = m, B_n: Expr = B_n, eta_max: Expr = eta_max) -> Expr:
    r"""Return the best learning rate of plain descent, by that of an infinite batch, equation E.4.

    .. math:: \eta = \frac{\eta_{max}}{1 + B_n / m}

    Source: McCandlish et al., 2018, equation 2.6.
    """
    return eta_max / (1 + B_n / m)


def efficiency(m: Expr = m, m_0: Expr = m_0, B_n: Expr = B_n) -> Expr:
    r"""Return what a sample of a batch is worth beside one of a base batch, equation E.5.

    .. math:: e = \frac{B_n + m_0}{B_n + m}

    Source: Qiao et al., *Pollux*, OSDI 2021, equation 7.
    """
    return (B_n + m_0) / (B_n + m)


def gain(m: Expr = m, m_0: Expr = m_0, B_n: Expr = B_n) -> Expr:
    r"""Return how many steps of a base batch one step is worth, equation E.6.

    .. math:: r = \frac{\sigma^2 + \mu^2}{\sigma^2 / s + \mu^2} = \frac{m}{m_0}\,\frac{B_n + m_0}{B_n + m}

    with :math:`s = m / m_0`, :math:`\sigma^2 / \mu^2 = B_n / m_0`. Source: Johnson et al., *AdaScale SGD*, 2020.
    """
    return m / m_0 * efficiency(m, m_0, B_n)


def t_target_join(N: Expr = N, b: Expr = b, B_n: Expr = B_n, S_min: Expr = S_min, t_iter: Expr = t_iter) -> Expr:
    r"""Return the time to a target of sync-join, whose updates have N batches [s], equation E.7.

    .. math:: T = S_{min} \left(1 + \frac{B_n}{N b}\right) t_{iter}
    """
    return steps(N * b, B_n, S_min) * t_iter


def t_target_split(b: Expr = b, B_n: Expr = B_n, S_min: Expr = S_min, t_iter: Expr = t_iter) -> Expr:
    r"""Return the time to a target of sync-split, whose updates have one batch [s], equation E.8.

    .. math:: T = S_{min} \left(1 + \frac{B_n}{b}\right) t_{iter}
    """
    return steps(b, B_n, S_min) * t_iter


def t_target_async(N: Expr = N, b: Expr = b, B_n: Expr = B_n, S_min: Expr = S_min, c: Expr = c, X: Expr = X) -> Expr:
    r"""Return the time to a target of async with an assumed cost c of staleness [s], equation E.9.

    .. math:: T = S_{min} \left(1 + \frac{B_n}{b} + c\,(N - 1)\right) / X

    Gradients are of weights about N - 1 updates old. c = 1 needs the samples of sync-join, c = 0 takes age for
    nothing; no source gives it (``speedup.efficiency.Staleness``).
    """
    return (steps(b, B_n, S_min) + S_min * c * (N - 1)) / X


def noise_scale(b: Expr = b, m: Expr = m, q_b: Expr = q_b, q_m: Expr = q_m) -> Expr:
    r"""Return the noise scale from expected squared norms of gradients at two batch sizes, equation E.10.

    .. math:: B_n = \frac{(|G_b|^2 - |G_m|^2) / (1/b - 1/m)}{(m |G_m|^2 - b |G_b|^2) / (m - b)}

    Averages go into numerator and denominator apart, because the mean of their ratio is another number. Source:
    McCandlish et al., 2018, appendix A.1.
    """
    return (q_b - q_m) / (1 / b - 1 / m) / ((m * q_m - b * q_b) / (m - b))
