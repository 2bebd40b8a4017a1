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

if TYPE_CHECKING:
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
SCHEDULES = ("constant", "cosine")
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
        batch: Samples in a batch; None for the architecture's own.
        epochs: Passes over the training samples.
        learning_rate: None for the usual one of the algorithm.
        schedule: ``constant``, or ``cosine`` down to 0 over all epochs.
        strength: Weight of the expected number of weights in the loss, for the algorithms with gates; None for theirs.
        rule: When ``l0_hard`` takes a unit out: ``test-gate`` or ``map``.
        prune_from: First epoch, from 1, at whose end it does.
        shrink: When arrays lose the units that are off: if it ``pays`` for compiling anew, ``always``, or ``never``.
        seed: Of weights, noise and the order of samples.

    Raises:
        PlanError: A word is none of those allowed.
        UnitError: A number is out of its range.
    """

    network: str
    algorithm: str = "sgd"
    data: str = "synthetic"
    folder: str | None = None
    unit: bool = False
    batch: int | None = None
    epochs: int = 10
    learning_rate: float | None = None
    schedule: str = "constant"
    strength: float | None = None
    rule: str = "test-gate"
    prune_from: int = 1
    shrink: str = "pays"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("prune_from", 1), ("seed", 0)):
            whole(name, getattr(self, name), minimum=least)
        if self.batch is not None:
            whole("batch", self.batch)
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

    def dataset(self) -> Dataset:
        """Read the data set.

        Raises:
            DatasetError: A file is missing or damaged.
        """
        if self.data == "synthetic":
            return synthetic(self.entry.input_shape, self.entry.classes, seed=self.seed)
        return replace(load_dataset(self.data, self.folder), unit=self.unit)

    def method(self, updates: int) -> Algorithm:
        """Return the algorithm with its learning rate.

        Args:
            updates: Of the whole training, over which a schedule stretches.
        """
        how = algorithm(self.algorithm)
        if self.strength is not None and isinstance(how.parametrisation, HardConcrete):
            how = replace(how, parametrisation=replace(how.parametrisation, strength=self.strength))
        rate = USUAL_RATES.get(how.name, USUAL_RATE) if self.learning_rate is None else self.learning_rate
        return how.at_rate(optax.cosine_decay_schedule(rate, updates) if self.schedule == "cosine" else rate)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return what a checkpoint must have in common with the training that goes on from it."""
        own = self.to_dict()
        del own["folder"]
        if self.schedule == "constant":
            # More epochs are the same training, only longer.
            del own["epochs"]
        return own
