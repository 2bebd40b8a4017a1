r"""Stragglers, local steps and unequal workers in closed form, equations X.1 to X.8.

Where times vary otherwise, ``speedup.queueing`` has their order statistics for any law.
"""

from __future__ import annotations

from sympy import Expr, Min, harmonic

from speedup.formulas.symbols import B, D, H, N, k, r_min, r_sum, t_comm, t_grad, t_iter, t_min, t_serve


def t_slowest(N: Expr = N, t_grad: Expr = t_grad, t_min: Expr = t_min) -> Expr:
    r"""Return the mean time of the slowest of N gradients of shifted exponential times [s], X.1.

    .. math:: t_{min} + (t_{grad} - t_{min})\,H_N, \qquad H_N = \sum_{n=1}^{N} \frac{1}{n}

    A gradient takes t_min and an exponential time of mean t_grad - t_min. While n workers are still at it, the next
    finishes after 1/n of that mean.

    Source:
        S. Dutta et al.: Slow and stale gradients can win the race. AISTATS 2018, section 4.

    Example:
        >>> t_slowest().subs({N: 2, t_grad: 3, t_min: 1})
        4
    """
    return t_min + (t_grad - t_min) * harmonic(N)


def t_slowest_but_backup(N: Expr = N, B: Expr = B, t_grad: Expr = t_grad, t_min: Expr = t_min) -> Expr:
    r"""Return the mean time until all but B of N gradients of shifted exponential times are there [s], X.2.

    .. math:: t_{min} + (t_{grad} - t_{min})\,(H_N - H_B)

    The server waits for the first N - B and drops the others: K-sync with K = N - B.

    Source:
        J. Chen et al.: Revisiting distributed synchronous SGD (2016); S. Dutta et al. (2018) as for X.1.

    Example:
        >>> t_slowest_but_backup().subs({N: 4, B: 2, t_grad: 13, t_min: 1})
        8
    """
    return t_min + (t_grad - t_min) * (harmonic(N) - harmonic(B))


def t_train_local_steps(N: Expr = N, D: Expr = D, H: Expr = H, t_grad: Expr = t_grad, t_iter: Expr = t_iter) -> Expr:
    r"""Return a synchronous run that communicates once every H local steps [s], X.3.

    .. math:: t_{train} = \frac{D}{N} \left(t_{grad} + \frac{t_{iter} - t_{grad}}{H}\right)

    with t_iter an iteration that communicates after each step, such as 4.11 or 4.12. H = 1 is 4.2 for sync-join.

    Source:
        S. U. Stich: Local SGD converges fast and communicates little. ICLR 2019.

    Example:
        >>> t_train_local_steps().subs({N: 8, D: 128, H: 4, t_grad: 1, t_iter: 3})
        24
    """
    return D / N * (t_grad + (t_iter - t_grad) / H)


def t_join_unequal(t_grad: Expr = t_grad, r_min: Expr = r_min) -> Expr:
    r"""Return the time of unequal workers for a batch each [s], X.4: that of the slowest.

    .. math:: \max_i \frac{t_{grad}}{r_i} = \frac{t_{grad}}{\min_i r_i}
    """
    return t_grad / r_min


def t_split_unequal(t_grad: Expr = t_grad, r_sum: Expr = r_sum) -> Expr:
    r"""Return the time of unequal workers for one batch in proportion to their speeds [s], X.5.

    .. math:: \frac{t_{grad}}{\sum_i r_i}

    Worker i takes the part :math:`r_i / \sum_j r_j`, so that all finish together; no other way to share is faster.

    Example:
        >>> t_split_unequal().subs({t_grad: 1, r_sum: 4})
        1/4
    """
    return t_grad / r_sum


def t_split_equal_parts(N: Expr = N, t_grad: Expr = t_grad, r_min: Expr = r_min) -> Expr:
    r"""Return the time of unequal workers for one batch in equal parts [s], X.6.

    .. math:: \frac{t_{grad}}{N \min_i r_i}
    """
    return t_join_unequal(t_grad, r_min) / N


def throughput_unequal(t_grad: Expr = t_grad, r_sum: Expr = r_sum) -> Expr:
    r"""Return the throughput of unequal workers that wait for nobody and nothing [batches/s], X.7.

    .. math:: X = \sum_i \frac{r_i}{t_{grad}}
    """
    return r_sum / t_grad


def throughput_served_bound(
    N: Expr = N, k: Expr = k, t_comm: Expr = t_comm, t_grad: Expr = t_grad, t_serve: Expr = t_serve
) -> Expr:
    r"""Return the asymptotic upper bound of the throughput with k servers that work for each gradient [batches/s], X.8.

    .. math:: X \le \min\left(\frac{N}{t_{grad} + 2 t_{comm} + t_{serve}/k}, \frac{k}{t_{comm}},
        \frac{k}{t_{serve}}\right)

    Nobody waits, or the links of the servers never rest, or their processors. For one server without work it is Q.2.

    Source:
        E. D. Lazowska et al.: Quantitative System Performance (1984), chapter 5.

    Example:
        >>> throughput_served_bound().subs({N: 64, k: 2, t_comm: 1, t_grad: 8, t_serve: 4})
        1/2
    """
    return Min(N / (t_grad + 2 * t_comm + t_serve / k), k / t_comm, k / t_serve)
