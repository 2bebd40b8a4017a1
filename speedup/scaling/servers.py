"""The step of trainings whose weights are on parameter servers: in step, and asynchronous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import FitError
from speedup.queueing.mva import machine_repairman_throughput
from speedup.scaling.compute import Compute
from speedup.scaling.equation import Equation, FittedEquation, check_usable, fit_equation
from speedup.scaling.posterior import LogTimes, Prior, by_name
from speedup.scaling.step import power_sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.scaling.runs import Runs

    Floats: TypeAlias = NDArray[np.float64]

SHARD_SPREAD = 0.3
"""How unequal shards are assumed: whole tensors fill k servers more or less evenly, as k happens to be."""
COUNT_SPREAD = 0.05
"""The same for workers that share a batch which their number may not divide."""
_REST = 1e-6  # of a step: what at least is not the server's


@dataclass(frozen=True, slots=True)
class ServerStep:
    r"""Step time of synchronous training with k parameter servers that each hold a shard of the weights.

    .. math:: T = (A^g + B^g)^{1/g}, \qquad A = (t_0 + c\,b + d\,n + h\,k)\,e^{v_n}, \qquad
        B = \frac{(U + V n)\,e^{u_k}}{k}

    for n workers with b samples each: what a worker does (``fixed_s``; ``sample_s`` for each sample, ``worker_s`` for
    each worker, ``message_s`` for each server it talks to), what the servers do (``server_s`` once a step,
    ``server_worker_s`` for each worker, of all weights together), and how far one hides the other (``overlap`` g, 1:
    not at all). :math:`u_k` is how much fuller the fullest of k shards is than an equal
    one, :math:`v_n` what is peculiar to n workers; both are zero but for what several runs agree on
    (``SHARD_SPREAD``, ``COUNT_SPREAD``).

    On the grids of 1 to 23 servers x workers of four networks in MXNet (Peng et al., DL2), fitted on random halves and
    tested on the others (halves that had no part in choosing the form, though the grids did): median error 3.9 % over
    all runs, 4.4 % as the mean of the networks' medians, mean 5.2 %; 92 % of the runs within their intervals, whose
    median half-width is 11 %.

    Attributes:
        name: Its name.

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> n, k = np.meshgrid([1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 4.0])
        >>> runs = Runs.of(workers=n.ravel(), servers=k.ravel(), batch=32 / n.ravel(),
        ...                step_s=(0.2 + 0.01 * 32 / n + (0.1 + 0.05 * n) / k).ravel())
        >>> found = ServerStep().fit(runs).predict(Runs.of(workers=[4], servers=[3], batch=[8]))
        >>> bool(found.low_s[0] < 0.38 < found.high_s[0])
        True
    """

    name: str = "servers"

    def fit(self, runs: Runs) -> FittedEquation:
        """Fit the model to measured runs.

        Args:
            runs: At least two, all of them with servers.

        Raises:
            FitError: They are too few, or one has no servers.
        """
        _check_servers(self.name, runs)
        return fit_equation(self.name, _server_equation, runs)


@dataclass(frozen=True, slots=True)
class AsynchronousServer:
    r"""Step time of workers that each push and pull on their own, at servers that serve one at a time.

    .. math:: T(n) = \frac{n}{X(n)}, \qquad X = \text{M/M/1//n with rest } t_1(b) - S/k \text{ and service } S/k

    A closed network: n workers, one station. The step of one worker alone, :math:`t_1`, is known from runs of one
    worker and includes its service, so that one parameter is fitted: ``service_s`` S, which is about the payload by
    the servers' bandwidth. Exact mean value analysis solves it.

    On the asynchronous trainings of CM-DARE (Li et al. 2020; 1 to 8 workers at one server): mean error 2.2 % fitted to
    all runs of a training, 2.6 % of each run predicted from the others.

    Attributes:
        name: Its name.

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2, 4], servers=1, step_s=[1.0, 1.01, 1.031])
        >>> fitted = AsynchronousServer().fit(runs)
        >>> fitted.parameters[0].name, bool(fitted.parameters[0].value < 0.2)
        ('service_s', True)
    """

    name: str = "async"

    def fit(self, runs: Runs) -> FittedEquation:
        """Fit the model to measured runs.

        Args:
            runs: At least two, all of them with servers; ``step_s`` is workers by steps of all of them per second.

        Raises:
            FitError: They are too few, all of one worker, or one has no servers.
        """
        _check_servers(self.name, runs)
        return fit_equation(self.name, _queue_equation, runs)


def _check_servers(name: str, runs: Runs) -> None:
    check_usable(runs)
    if (runs.servers < 1).any():
        raise FitError(
            f'servers = {runs.servers.min():g} in run {int(runs.servers.argmin()) + 1}; the model "{name}" needs at '
            'least 1. Fit the model "speedup" to an all-reduce.'
        )


def _server_equation(runs: Runs) -> Equation:
    scale, usual = (float(np.exp(np.log(column).mean())) for column in (runs.step_s, runs.batch))
    main = (
        Prior("fixed_s", 0.2 * scale, 3.0, "s"),
        Prior("sample_s", 0.3 * scale / usual, 3.0, "s/sample"),
        Prior("worker_s", 0.02 * scale, 3.0, "s"),
        Prior("message_s", 0.01 * scale, 2.0, "s"),
        Prior("server_s", 0.3 * scale, 3.0, "s"),
        Prior("server_worker_s", 0.1 * scale, 3.0, "s"),
        Prior("overlap", 0.37, 1.5, floor=1.0),
    )
    counts, shards = np.unique(runs.workers), np.unique(runs.servers)
    first_shard, first_count = len(main), len(main) + len(shards) + 1
    priors = (*main, *_effects("servers", shards, SHARD_SPREAD), *_effects("workers", counts, COUNT_SPREAD))

    def bind(asked: Runs) -> LogTimes:
        n, k = asked.workers, asked.servers
        shard, count = first_shard + _place(shards, k), first_count + _place(counts, n)

        def log_times(x: Floats) -> Floats:
            p = by_name(priors[:first_shard], x)
            own = np.log(p["fixed_s"] + p["sample_s"] * asked.batch + p["worker_s"] * n + p["message_s"] * k)
            served = np.log(p["server_s"] + p["server_worker_s"] * n) - np.log(k)
            return power_sum(own + x[:, count], served + x[:, shard], p["overlap"])

        return log_times

    return Equation(priors, bind)


def _effects(name: str, values: Floats, spread: float) -> tuple[Prior, ...]:
    """Return a prior for what is peculiar to each value, and one for those that no run has."""
    names = (*(f"{value:g}" for value in values), "other")
    return tuple(Prior(f"{name} {which}", 1.0, spread, nuisance=True) for which in names)


def _place(known: Floats, asked: Floats) -> NDArray[np.int64]:
    """Return where values are among the known ones, and one past the last of them where they are not."""
    at = np.searchsorted(known, asked).clip(max=len(known) - 1)
    return np.where(known[at] == asked, at, len(known))


def _queue_equation(runs: Runs) -> Equation:
    compute = Compute.of(runs)
    scale = float(np.exp(np.log(runs.step_s).mean()))
    priors = (Prior("service_s", 0.1 * scale, 3.0, "s"), *compute.priors)

    def bind(asked: Runs) -> LogTimes:
        n = asked.workers.astype(np.int64)
        rows = np.arange(len(n))

        def log_times(x: Floats) -> Floats:
            p = by_name(priors, x)
            alone = np.exp(compute.log_time(asked.batch, p))
            service = p["service_s"] / asked.servers
            rest = np.maximum(alone - service, _REST * alone)
            rates = machine_repairman_throughput(int(n.max()), rest, service)
            return np.asarray(np.log(n) - np.log(rates[n - 1, :, rows].T))

        return log_times

    return Equation(priors, bind)
