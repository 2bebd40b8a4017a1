"""One network under one algorithm, measured at some batch sizes: from a problem to a profile.

The batch sizes are visited in turn, and again in reverse where more than one visit is asked for, so that no
batch size is measured in one stretch of time alone. After every visit there is a profile of what is known so
far, which can be saved: whatever ends the sweep takes with it no more than the visit in flight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from speedup.errors import SpeedupError
from speedup.profile import Device, Profile, StepCost, Timing, Workload

from .timing.accelerator import accelerator_facts, warnings_from
from .timing.environment import describe_device, environment
from .timing.inputs import input_time
from .timing.memory import DeviceMemoryError, is_out_of_memory, refuse_too_big
from .timing.sampler import Progress, Rule, Sampler, Samples, Stage
from .timing.split import split_step
from .training.step import TrainingRun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .training.algorithms import Algorithm
    from .training.problem import Problem
    from .training.step import TrainingStep

UNFINISHED = "unfinished_batches"
"""Fact that names the batch sizes whose visits were not all made."""

# Share of a point's bar for compiling, which takes unknown time.
_PREPARED = 0.1
_PARTS_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long each batch size is measured.

    Attributes:
        rule: When to stop; of its visits a batch size has as many as it asks for at least, and between them
            the other batch sizes have theirs.
        parts: Whether the step is also split into forward, backward and update at the workload's batch size.
    """

    rule: Rule = field(default_factory=Rule)
    parts: bool = True

    @classmethod
    def quick(cls) -> Effort:
        """Return the least that still is a measurement: a second a batch size, compilation not counted."""
        return cls(rule=Rule(target=0.1, min_samples=6, min_time_s=0.5, max_time_s=1.2, sample_s=0.1), parts=False)

    @classmethod
    def sweep(cls) -> Effort:
        """Return what a sweep over batch sizes takes: two visits of half a minute each."""
        return cls(rule=Rule(min_visits=2))

    def lasting(self, max_time_s: float) -> Effort:
        """Return the same with another limit of the time a batch size [s]."""
        least = min(self.rule.min_time_s, max_time_s / 2)
        return replace(self, rule=replace(self.rule, max_time_s=max_time_s, min_time_s=least))

    def facts(self) -> dict[str, str | int | float | bool | None]:
        """Return the effort as facts of a profile; equal efforts have equal facts."""
        rule = self.rule
        return {
            "target": rule.target,
            "min_time_s": rule.min_time_s,
            "max_time_s": rule.max_time_s,
            "min_visits": rule.min_visits,
        }


@dataclass(slots=True)
class _Point:
    """A batch size being measured."""

    step: TrainingStep
    sampler: Sampler
    cost: StepCost
    visits: int = 0
    samples: Samples | None = None

    def visit(self, rule: Rule) -> Samples:
        """Make the next visit and return all samples; the last lasts until the rule is met or its limit reached."""
        self.visits += 1
        self.sampler.visit(math.inf if self.visits >= rule.min_visits else rule.max_time_s / rule.min_visits)
        self.samples = self.sampler.result()
        return self.samples


class Sweep:
    """The measurement of one network under one algorithm at some batch sizes.

    Args:
        problem: What is trained.
        algorithm: How.
        name: Name of the profile.
        workload: What the profile says of the problem; batch and tensors are filled in here.
        batch: The batch size that the profile stands for, if it gets measured.
        effort: How long to measure.
        known: An earlier profile of the same, whose finished batch sizes are kept.
        seed: Of weights and batch.
        facts: Facts for the profile's environment besides those of the machine.
        on_progress: Called with a ``Progress`` between samples.
    """

    def __init__(
        self,
        problem: Problem,
        algorithm: Algorithm,
        *,
        name: str,
        workload: Workload,
        batch: int,
        effort: Effort,
        known: Profile | None = None,
        seed: int = 0,
        facts: dict[str, str | int | float | bool | None] | None = None,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self._name, self._batch, self._effort = name, batch, effort
        self._report = on_progress or (lambda _: None)
        self._environment = environment() | {"seed": seed} | effort.facts() | (facts or {})
        self._device = describe_device()
        self._run = TrainingRun(problem, algorithm, seed=seed)
        elements, shapes = self._run.tensor_elements, self._run.tensor_shapes
        self._workload = replace(workload, tensor_elements=elements, tensor_shapes=shapes)
        self._timings = {timing.batch: timing for timing in known.t_grad if timing.batch} if known else {}
        self._costs = {cost.batch: cost for cost in known.costs} if known else {}
        self._refused = dict[int, str]()
        self._points = dict[int, _Point]()
        self._fractions = dict[int, float]()
        self._notes: tuple[str, ...] = ()
        self._build_s, self._compile_s = 0.0, 0.0

    def measure(self, batches: Iterable[int]) -> Iterator[Profile]:
        """Measure the batch sizes, and yield after each visit the profile of all that is known.

        Raises:
            DeviceMemoryError: No batch size at all fits the device.
        """
        wanted = list(dict.fromkeys(batches))
        self._fractions = dict.fromkeys(wanted, 0.0)
        for visit in range(self._effort.rule.min_visits):
            for batch in wanted if visit % 2 == 0 else reversed(wanted):
                if batch not in self._refused and self._visited(batch):
                    yield self.profile()
        if wanted and not self._timings:
            raise DeviceMemoryError("\n".join(self._refused.values()))
        if self._effort.parts and self._own_batch() in self._points:
            self._measure_parts(self._points[self._own_batch()])
        yield self.profile()

    def _own_batch(self) -> int:
        """Return the batch size that the profile stands for: the one asked for, or else the largest measured."""
        return self._batch if self._batch in self._timings else max(self._timings)

    def _visited(self, batch: int) -> bool:
        """Visit a batch size; False if the device has no memory for it, which ends this batch size alone."""
        try:
            point = self._points.get(batch) or self._open(batch)
            samples = point.visit(self._effort.rule)
        except DeviceMemoryError as error:
            return self._refuse(batch, str(error))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return self._refuse(batch, f"batch {batch} ran out of the device's memory. Use a smaller batch.")
        # Clocks and throttling say something only right after the work.
        self._environment |= accelerator_facts()
        self._timings[batch] = samples.timing(batch)
        self._costs[batch] = point.cost
        return True

    def _refuse(self, batch: int, why: str) -> bool:
        self._refused[batch] = why
        self._points.pop(batch, None)
        self._fractions[batch] = 1.0
        return False

    def _show(self, batch: int, progress: Progress) -> None:
        """Report the progress of a batch size as that of the sweep."""
        self._fractions[batch] = max(self._fractions[batch], progress.fraction)
        self._report(replace(progress, fraction=sum(self._fractions.values()) / len(self._fractions)))

    def _open(self, batch: int) -> _Point:
        self._show(batch, Progress(stage=Stage.COMPILE, fraction=0.0))
        step = self._run.step(batch)
        self._compile_s += step.compile_s
        refuse_too_big(step.needed_bytes, f"batch {batch}")
        self._show(batch, Progress(stage=Stage.BUILD, fraction=_PREPARED / 2, elapsed_s=step.compile_s))
        self._build_s += self._run.allocate() + step.load()
        before = self._compile_s + self._build_s

        def shifted(progress: Progress) -> None:
            fraction = _PREPARED + (1 - _PREPARED) * progress.fraction
            self._show(batch, replace(progress, fraction=fraction, elapsed_s=before + progress.elapsed_s))

        sampler = Sampler(step, wait=step.wait, rule=self._effort.rule, on_progress=shifted)
        sampler.prepare()
        cost = StepCost(
            batch=batch,
            flops=step.flops,
            bytes_accessed=step.bytes_accessed,
            weights_bytes=self._run.weights_bytes,
            gradients_bytes=self._run.gradients_bytes,
            optimizer_state_bytes=self._run.optimizer_state_bytes,
            activations_bytes=step.activations_bytes,
            input_s=input_time(step.host_batch()),
        )
        self._points[batch] = _Point(step, sampler, cost)
        return self._points[batch]

    def _measure_parts(self, point: _Point) -> None:
        step, limit = point.step, self._effort.rule.max_time_s / 4
        parts = split_step(step, step.forward(), step.gradient(), seconds=min(_PARTS_S, limit))
        self._costs[step.batch] = replace(
            point.cost, forward_s=parts.forward_s, backward_s=parts.backward_s, update_s=parts.update_s
        )
        self._notes = parts.notes

    def _unfinished(self) -> list[int]:
        return [batch for batch, point in self._points.items() if point.visits < self._effort.rule.min_visits]

    def profile(self) -> Profile:
        """Return the profile of all that is known so far; at least one batch size must have been visited."""
        measured, batch = sorted(self._timings), self._own_batch()
        facts = self._environment | {"build_s": self._build_s}
        if batch in self._points and (samples := self._points[batch].samples):
            facts["first_call_s"] = samples.first_s
        if unfinished := self._unfinished():
            facts[UNFINISHED] = ", ".join(map(str, unfinished))
        return Profile(
            name=self._name,
            workload=replace(self._workload, batch=batch),
            t_grad=tuple(self._timings[one] for one in measured),
            device=self._device,
            costs=tuple(self._costs[one] for one in measured if one in self._costs),
            compile_s=self._compile_s,
            environment=facts,
            warnings=(*self._warnings(), *self._notes, *warnings_from(facts), *self._refused.values()),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _warnings(self) -> Iterator[str]:
        for batch, point in self._points.items():
            if point.samples:
                what = "t_grad" if len(self._timings) == 1 else f"t_grad at batch {batch}"
                yield from point.samples.warnings(what)


def finished(profile: Profile, effort: Effort, device: Device) -> tuple[Timing, ...]:
    """Return the timings of an earlier profile that need not be made again.

    Args:
        profile: The earlier profile.
        effort: What is asked for now.
        device: The device at hand.

    Raises:
        SpeedupError: The profile was measured on another device.
    """
    if profile.device != device:
        raise SpeedupError(
            f'"{profile.name}" was measured on {profile.device}; this is {device}. Profiles of two devices never '
            "merge: name another folder."
        )
    if any(profile.environment.get(name) != value for name, value in effort.facts().items()):
        return ()
    missing = {int(batch) for batch in str(profile.environment.get(UNFINISHED, "")).split(", ") if batch}
    return tuple(timing for timing in profile.t_grad if timing.batch not in missing)
