"""What is trained, on what, and how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import optax

from speedup.plans import one_of
from speedup.units import positive, whole

from ..architectures import architecture
from ..datasets import load_dataset, synthetic
from ..training.algorithms import algorithm
from ..training.hard_concrete import HardConcrete
from ..training.pruning import THRESHOLDS
from ..training.schedules import steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..architectures import Architecture
    from ..datasets import Dataset
    from ..training.algorithms import Algorithm

USUAL_RATES = {
    "edge_popup": 0.1,
    "viviano": 0.01,
    "adaptive_nesterov": 1.0,
    "adadelta": 1.0,
    **dict.fromkeys(("adam", "adam_eps_root", "adam_hat", "adamw", "rmsprop", "l0", "l0_hard"), 1e-3),
}
"""Learning rates that the sources, or the methods' authors, train with; ``USUAL_RATE`` for all others."""
USUAL_RATE = 0.01
SCHEDULES: Mapping[str, Callable[[float, int], float | optax.Schedule]] = {
    "constant": lambda rate, _: rate,
    "cosine": optax.cosine_decay_schedule,
    "steps": steps,
}
"""What becomes of a learning rate over so many updates."""
SHRINKING = ("pays", "always", "never")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A training on one device.

    Attributes:
        network: Name of the architecture.
        algorithm: Training algorithm.
        data: ``mnist``, ``fashion_mnist``, ``cifar10``, ``digits`` or ``synthetic``.
        folder: Where the data set's files are; None for ``SPEEDUP_DATA``.
        unit: Whether pixels are only brought between 0 and 1, as the sources do, and not standardised.
        train_samples: How many training samples there are, the first ones; None for all that are not held out.
        held_out: Training samples after those to test with, in place of the test samples; None to test with these.
        batch: Samples in a batch; None for the architecture's own.
        persistency: Updates on each batch before the next is loaded; None for the algorithm's own, 1 for most.
        epochs: Passes over the training samples.
        learning_rate: None for the usual one of the algorithm.
        schedule: ``constant``; ``cosine``, down to 0 over all epochs; or ``steps``, a tenth of the rate after 40 % of
            all updates and a hundredth after 70 %.
        momentum: Decay of the velocity, for the algorithms that have one; None for 0.9.
        strength: Weight of the expected number of weights in the loss, for the algorithms with gates; None for theirs.
        rule: When ``l0_hard`` takes a unit out: ``test-gate`` or ``map``.
        prune_from: First epoch, from 1, at whose end it does.
        shrink: When arrays lose the units that are off: if it ``pays`` for compiling anew, ``always``, or ``never``.
        seed: Of weights, noise and the order of samples.
        noise_scale: Whether the gradient noise scale is measured on the way; the training is the same.

    Raises:
        PlanError: A word is none of those allowed.
        UnitError: A number is out of its range.
    """

    network: str
    algorithm: str = "sgd"
    data: str = "synthetic"
    folder: str | None = None
    unit: bool = False
    train_samples: int | None = None
    held_out: int | None = None
    batch: int | None = None
    persistency: int | None = None
    epochs: int = 10
    learning_rate: float | None = None
    schedule: str = "constant"
    momentum: float | None = None
    strength: float | None = None
    rule: str = "test-gate"
    prune_from: int = 1
    shrink: str = "pays"
    seed: int = 0
    noise_scale: bool = False

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("prune_from", 1), ("seed", 0)):
            whole(name, getattr(self, name), minimum=least)
        for name in ("train_samples", "held_out", "batch", "persistency"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))
        if self.learning_rate is not None:
            positive("learning_rate", self.learning_rate, "a step")
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("rule", self.rule, THRESHOLDS)
        one_of("shrink", self.shrink, SHRINKING)

    @property
    def entry(self) -> Architecture:
        """The architecture."""
        return architecture(self.network)

    @property
    def samples(self) -> int:
        """Samples in a batch."""
        return self.entry.default_batch if self.batch is None else self.batch

    @property
    def repeats(self) -> int:
        """Updates on each batch."""
        return self.persistency or algorithm(self.algorithm).persistency or 1

    def dataset(self) -> Dataset:
        """Read the data set.

        Raises:
            DatasetError: A file is missing or damaged.
            UnitError: It has fewer training samples than are asked for.
        """
        if self.data == "synthetic":
            found = synthetic(self.entry.input_shape, self.entry.classes, seed=self.seed)
        else:
            found = replace(load_dataset(self.data, self.folder), unit=self.unit)
        return found.limited(self.train_samples, self.held_out)

    def method(self, updates: int) -> Algorithm:
        """Return the algorithm with its learning rate.

        Args:
            updates: Of the whole training, over which a schedule stretches.

        Raises:
            UnitError: The algorithm has no velocity, and momentum is given.
        """
        how = algorithm(self.algorithm)
        if self.strength is not None and isinstance(how.parametrisation, HardConcrete):
            how = replace(how, parametrisation=replace(how.parametrisation, strength=self.strength))
        if self.momentum is not None:
            how = how.at_momentum(self.momentum)
        rate = USUAL_RATES.get(how.name, USUAL_RATE) if self.learning_rate is None else self.learning_rate
        return how.at_rate(SCHEDULES[self.schedule](rate, updates))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must have in common with the training that goes on from it."""
        own = self.to_dict()
        del own["folder"], own["noise_scale"]
        if self.schedule == "constant":
            # More epochs are the same training, only longer.
            del own["epochs"]
        return own
