r"""The step of a training whose gradients an all-reduce sums, within machines and between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import FitError
from speedup.scaling.compute import Compute
from speedup.scaling.equation import Equation, FittedEquation, check_usable, fit_equation
from speedup.scaling.posterior import LogTimes, Prior, by_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speedup.scaling.collectives import LinkFit
    from speedup.scaling.runs import Runs

    Floats: TypeAlias = NDArray[np.float64]

LINK_SPREAD = 0.7
"""Standard deviation of the logarithm of a step's bandwidth about what a collective alone reached."""


def power_sum(a: Floats, b: Floats, exponent: Floats) -> Floats:
    r"""Return the logarithm of :math:`(A^g + B^g)^{1/g}`: the sum for g = 1, near the maximum for large g.

    Args:
        a: Logarithm of A; -inf for 0.
        b: Logarithm of B; likewise.
        exponent: g, at least 1.

    Example:
        >>> float(np.exp(power_sum(np.log(3.0), np.log(4.0), np.array(2.0))).round(9))
        5.0
    """
    return np.asarray(np.logaddexp(exponent * a, exponent * b) / exponent)


@dataclass(frozen=True, slots=True)
class AllReduceStep:
    r"""Step time of synchronous training with an all-reduce over machines of several accelerators.

    .. math::
        T &= (C^g + N^g)^{1/g}, \qquad C = t_{grad}(b)\,(1 + \kappa (r - 1)) \\
        N &= \begin{cases}
            2 \frac{n-1}{n} \beta_i + a_i (n - 1) & m = 1 \\
            2 \frac{n-1}{n} \beta \,(1 + p\,[m = 2]) (1 + \lambda \ln\tfrac{m}{2}) (1 + \rho \tfrac{r-1}{r})
                + a \log_2 n & m > 1
        \end{cases}

    for n workers in m machines, r of them in the fullest; g is ``overlap`` (1: none), :math:`\kappa`
    ``host_sharing``, :math:`\beta_i` and :math:`a_i` ``intra_s`` and ``intra_latency_s``, :math:`\beta` and a
    ``inter_s`` and ``latency_s``: the time of all gradients over a link once, and of a message. ``pair`` p: two
    machines send to and receive from the same one, which costs about twice as much a byte as among more of them.
    ``growth`` :math:`\lambda`: contention in the network. ``link_sharing`` :math:`\rho`: workers of one machine share
    its link.

    The times' priors are multiples of the mean step, so that a fit does not depend on units. Terms and medians of the
    priors were chosen on three of the six trainings of the Pollux traces (BERT, ResNet-18 and YOLOv3, on up to 64 T4
    in 16 machines); the others (DeepSpeech2, NeuMF, ResNet-50) were only evaluated, except that the spreads of the
    priors and ``DRIFT``, which make the intervals, were settled with the coverage of all six in view.

    ================================  ======  ==================  ========  ==========
    fitted on, tested on              error   three chosen, rest  coverage  half-width
    ================================  ======  ==================  ========  ==========
    n <= 8, 9 <= n <= 16              5.4 %   4.7 %, 6.1 %        91 %      13 %
    n <= 8, 16 <= n <= 64             9.9 %   9.9 %, 10.0 %       86 %      19 %
    n <= 4, 5 <= n <= 8               6.2 %   5.7 %, 6.7 %        90 %      12 %
    n <= 2, speedup at 4-16 machines  10.6 %  9.6 %, 11.6 %       98 %      31 %
    ================================  ======  ==================  ========  ==========

    Errors are means over the trainings of the mean relative error; coverage is that of all runs of a split by
    intervals of 90 % (93 % over the four), half-width the median of the trainings' medians.

    Attributes:
        name: Its name.
        known: Priors that take the place of the usual ones of the same name, such as those that ``link_priors`` makes.

    Source:
        The overlap norm: A. Qiao et al.: Pollux. OSDI 2021. The ring: P. Patarasuk, X. Yuan: Bandwidth optimal
        all-reduce algorithms for clusters of workstations. JPDC 69 (2009).

    Example:
        >>> from speedup.scaling.runs import Runs
        >>> runs = Runs.of(workers=[1, 2, 4, 8], machines=[1, 2, 4, 8], step_s=[0.1, 0.14, 0.142, 0.146])
        >>> prediction = AllReduceStep().fit(runs).predict(Runs.of(workers=[16], machines=[16]))
        >>> bool(prediction.low_s[0] < 0.15 < prediction.high_s[0]), float(prediction.beyond[0])
        (True, 1.0)
    """

    name: str = "speedup"
    known: tuple[Prior, ...] = ()

    def fit(self, runs: Runs) -> FittedEquation:
        """Fit the model to measured runs.

        Args:
            runs: At least two, all of them without servers.

        Raises:
            FitError: They are too few, all of one worker, or have servers.
        """
        check_usable(runs)
        if (runs.servers > 0).any():
            raise FitError(
                f"servers = {runs.servers.max():g} in run {int(runs.servers.argmax()) + 1}; the model "
                f'"{self.name}" is of an all-reduce, which has none. Fit the model "servers" or "async".'
            )
        return fit_equation(self.name, lambda some: _equation(some, self.known), runs)


def link_priors(link: LinkFit, payload_bytes: float) -> tuple[Prior, ...]:
    """Return what a measured collective says beforehand about a step.

    A step seldom has the whole of what the library reaches alone (``LINK_SPREAD``): tensors are sent in buckets, while
    the device computes.

    Args:
        link: Latency and bandwidth of an all-reduce, between machines or inside one.
        payload_bytes: Bytes of all gradients.

    Example:
        >>> from speedup.scaling.collectives import LinkFit
        >>> link = LinkFit("all_reduce", 8, 2, 3e-5, 2e-5, 4e-5, 1e10, 9e9, 2e10, 1.75, 0.1)
        >>> [(prior.name, prior.median) for prior in link_priors(link, 1e8)]
        [('inter_s', 0.01), ('latency_s', 1e-05)]
    """
    once = payload_bytes / link.bandwidth_bytes_per_s
    ranks = max(link.ranks, 2)
    if link.machines > 1:
        names, messages = ("inter_s", "latency_s"), np.log2(ranks)
    else:
        names, messages = ("intra_s", "intra_latency_s"), ranks - 1
    latency = float(link.latency_s / messages)
    return Prior(names[0], once, LINK_SPREAD, "s"), Prior(names[1], latency, 2 * LINK_SPREAD, "s")


def _priors(scale: float) -> tuple[Prior, ...]:
    """Return what is assumed, for steps that take about ``scale`` seconds."""
    return (
        Prior("host_sharing", 0.03, 0.8),
        Prior("intra_s", 0.05 * scale, 2.0, "s"),
        Prior("intra_latency_s", 0.005 * scale, 2.0, "s"),
        Prior("inter_s", 0.2 * scale, 2.0, "s"),
        Prior("latency_s", 0.01 * scale, 2.0, "s"),
        Prior("overlap", 0.7, 0.8, floor=1.0),
        Prior("pair", 0.85, 0.4),
        Prior("growth", 0.15, 0.6),
        Prior("link_sharing", 0.2, 0.6),
    )


def _equation(runs: Runs, known: tuple[Prior, ...]) -> Equation:
    compute = Compute.of(runs)
    better = {prior.name: prior for prior in known}
    usual = (*_priors(float(np.exp(np.log(runs.step_s).mean()))), *compute.priors)
    priors = tuple(better.get(prior.name, prior) for prior in usual)

    def bind(asked: Runs) -> LogTimes:
        n, m, r = asked.workers, asked.machines, asked.fullest
        ring = 2 * (n - 1) / n
        pair, growth, filled = m == 2, np.log(np.maximum(m, 2) / 2), (r - 1) / r

        def log_times(x: Floats) -> Floats:
            p = by_name(priors, x)
            gradient = compute.log_time(asked.batch, p) + np.log1p(p["host_sharing"] * (r - 1))
            inside = p["intra_s"] * ring + p["intra_latency_s"] * (n - 1)
            slower = (1 + p["pair"] * pair) * (1 + p["growth"] * growth) * (1 + p["link_sharing"] * filled)
            between = p["inter_s"] * ring * slower + p["latency_s"] * np.log2(n)
            with np.errstate(divide="ignore"):  # one worker has no network, and the logarithm of 0 is meant
                network = np.log(np.where(m > 1, between, inside))
            return power_sum(gradient, network, p["overlap"])

        return log_times

    return Equation(priors, bind)
