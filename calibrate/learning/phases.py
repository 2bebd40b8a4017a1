"""What a training was, as a profile of phases: epochs in a row with the same payload."""

from __future__ import annotations

from itertools import groupby
from statistics import median
from typing import TYPE_CHECKING

from speedup.errors import PlanError
from speedup.profile import Phase, Profile, Provenance, Timing, Workload

from ..timing.environment import describe_device, environment

if TYPE_CHECKING:
    from .learner import Epoch, Learner


def learned_profile(learner: Learner) -> Profile:
    """Return the profile of a training, one phase for epochs in a row that sent as many bytes.

    t_grad of a phase is the median over its epochs of the steps that were timed after each. Every update counts as a
    batch with an exchange.

    Args:
        learner: A training with at least one epoch.

    Raises:
        PlanError: It has none yet.

    Example:
        >>> from calibrate.learning import Learner, Settings
        >>> learner = Learner(Settings(network="nardini_mlp", batch=100, epochs=2))
        >>> rows = learner.train()
        >>> [(phase.name, phase.batches, phase.payload_bytes) for phase in learned_profile(learner).phases]
        [('epochs 1-2', 40, 1066440)]
    """
    if not learner.rows:
        raise PlanError("nothing was trained yet; a profile needs at least one epoch.")
    settings = learner.settings
    epochs = list(zip(learner.rows, learner.tensors, strict=True))
    phases = tuple(
        _phase([row for row, _ in group], elements, settings.samples, learner.rows[0].updates)
        for elements, group in groupby(epochs, key=lambda pair: pair[1])
    )
    first = phases[0]
    return Profile(
        name=f"{settings.network}-{settings.algorithm}-{settings.data}-trained".replace("_", "-"),
        workload=Workload(
            architecture=settings.network,
            algorithm=settings.algorithm,
            tensor_elements=first.tensor_elements,
            batch=settings.samples,
            input_shape=settings.entry.input_shape,
        ),
        t_grad=(first.t_grad,),
        device=describe_device(),
        environment=environment() | {"seed": settings.seed, "epochs": len(epochs)},
        warnings=tuple(filter(None, (learner.note,))),
        phases=phases,
        noise_scale=None if learner.noise is None else learner.noise.over_run(),
    )


def _phase(rows: list[Epoch], elements: tuple[int, ...], batch: int, updates_per_epoch: int) -> Phase:
    begin, end = rows[0].epoch, rows[-1].epoch
    times = tuple(row.t_grad_s for row in rows)
    return Phase(
        name=f"epoch {begin}" if begin == end else f"epochs {begin}-{end}",
        batches=len(rows) * updates_per_epoch,
        t_grad=Timing(median_s=median(times), provenance=Provenance.MEASURED, samples_s=times, batch=batch),
        tensor_elements=elements,
    )
