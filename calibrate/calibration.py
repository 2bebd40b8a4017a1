"""The whole calibration of one architecture: from a name to a profile."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from speedup.profile import Device, Profile, Workload
from speedup.units import whole

from .architectures import Architecture, architecture, tensor_elements
from .timing.environment import describe_device, environment
from .timing.sampler import Progress, Rule, Samples, Stage, sample
from .training.step import TrainingStep

if TYPE_CHECKING:
    from collections.abc import Callable

# Share of the bar for making the weights and compiling, which take unknown time.
_PREPARED = 0.1


def device_slug(device: Device) -> str:
    """Return a short name of the device for the names of files.

    Example:
        >>> device_slug(Device(platform="cpu", name="Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"))
        'xeon-platinum-8481c'
        >>> device_slug(Device(platform="gpu", name="NVIDIA H200"))
        'h200'
    """
    name = re.sub(r"\((?:r|tm)\)|@.*|\b(?:cpu|processor|\d+-core|intel|amd|nvidia)\b", " ", device.name.lower())
    return "-".join(re.findall(r"[a-z0-9]+", name)) or device.platform


def calibrate(
    name: str,
    *,
    batch: int | None = None,
    classes: int | None = None,
    target: float = 0.02,
    max_time_s: float = 60.0,
    min_time_s: float = 5.0,
    seed: int = 0,
    on_progress: Callable[[Progress], object] | None = None,
) -> Profile:
    """Measure t_grad of an architecture on this machine's device.

    t_grad is one step of plain stochastic gradient descent: softmax cross entropy averaged over the batch,
    its gradient, and the update of the weights. The batch is synthetic and already on the device; reading
    and moving data is not part of it.

    Args:
        name: Name of the architecture, such as ``squeezenet``.
        batch: Samples a batch; None for the architecture's own default.
        classes: Number of classes, which changes the last layer; None for the architecture's own.
        target: Relative half-width of the 95 % interval of the median to reach; 0.02 is +-2 %.
        max_time_s: Wall time of the timing at most, its warm-up included, compilation not [s].
        min_time_s: Wall time the samples are spread over at least [s].
        seed: Of weights and batch.
        on_progress: Called with a ``Progress`` between samples.

    Returns:
        A profile with at most 1000 samples, the compilation apart, and what makes its numbers doubtful.

    Raises:
        UnknownNameError: Nobody knows the name.
        UnitError: ``batch``, ``classes`` or a limit is out of range.

    Example:
        >>> profile = calibrate("nardini_mlp", batch=8, min_time_s=0.5, max_time_s=1)
        >>> profile.workload.parameters, 0 < profile.t_grad_s < 1
        (266610, True)
    """
    # All that can be wrong is found out before anything that takes long.
    entry = architecture(name)
    size = entry.default_batch if batch is None else whole("batch", batch)
    count = entry.classes if classes is None else whole("classes", classes)
    whole("seed", seed, minimum=0)
    rule = Rule(target=target, min_time_s=min_time_s, max_time_s=max_time_s)
    report = on_progress or (lambda _: None)

    facts, device = environment(), describe_device()
    report(Progress(stage=Stage.BUILD, fraction=0.0))
    elements = tensor_elements(entry.name, count)
    step = TrainingStep(entry, batch=size, classes=count, seed=seed)
    report(Progress(stage=Stage.COMPILE, fraction=_PREPARED, elapsed_s=step.build_s + step.compile_s))
    samples = _sample(step, rule, report)
    facts |= {"seed": seed, "classes": count, "first_call_s": samples.first_s, "build_s": step.build_s}
    return Profile(
        name=_profile_name(entry, count, device, size),
        workload=_workload(entry, elements, size),
        t_grad=(samples.timing(size),),
        device=device,
        compile_s=step.compile_s,
        environment=facts,
        warnings=samples.warnings("t_grad"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _workload(entry: Architecture, elements: tuple[int, ...], batch: int) -> Workload:
    return Workload(architecture=entry.name, tensor_elements=elements, batch=batch, input_shape=entry.input_shape)


def _profile_name(entry: Architecture, classes: int, device: Device, batch: int) -> str:
    head = "" if classes == entry.classes else f"-c{classes}"
    return f"{entry.name}{head}-{device_slug(device)}-b{batch}"


def _sample(step: TrainingStep, rule: Rule, report: Callable[[Progress], object]) -> Samples:
    before = step.build_s + step.compile_s

    def shifted(progress: Progress) -> None:
        fraction = _PREPARED + (1 - _PREPARED) * progress.fraction
        report(replace(progress, fraction=fraction, elapsed_s=before + progress.elapsed_s))

    return sample(
        step,
        wait=step.wait,
        target=rule.target,
        min_time_s=rule.min_time_s,
        max_time_s=rule.max_time_s,
        on_progress=shifted,
    )
