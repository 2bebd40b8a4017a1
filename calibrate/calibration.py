"""The calibration of one network: from a name, or from the user's own model, to a profile."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import jax
from flax import nnx

from speedup.errors import UnitError
from speedup.profile import Device, Profile, Workload
from speedup.units import whole

from .architectures import Architecture, architecture
from .sweep import Effort, Sweep
from .timing.dispatch import dispatch_time
from .timing.environment import describe_device
from .timing.sampler import Progress, Rule
from .training.algorithms import Algorithm
from .training.algorithms import algorithm as known_algorithm
from .training.problem import Problem, loss_problem, model_problem, network_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DEFAULT_ALGORITHM = "sgd"


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


def profile_name(
    name: str, algorithm: str, device: Device, *, head: str = "", precision: str = "float32", batch: int | None = None
) -> str:
    """Return the name of a profile: what differs from plain SGD in single precision shows in it.

    Args:
        name: Name of the network.
        algorithm: Name of the training algorithm.
        device: What it is measured on.
        head: Note of another number of classes, such as ``-c257``.
        precision: Type that the network computes in.
        batch: The only batch size; None for a sweep.

    Example:
        >>> profile_name("squeezenet", "adam", Device(platform="gpu", name="NVIDIA H200"), precision="bfloat16")
        'squeezenet-adam-bfloat16-h200'
    """
    parts = [name + head]
    parts += [] if algorithm == DEFAULT_ALGORITHM else [algorithm]
    parts += [] if precision == "float32" else [precision]
    parts += [device_slug(device)]
    parts += [] if batch is None else [f"b{batch}"]
    return "-".join(parts)


def batch_sizes(batch: int | Iterable[int] | None, default: int) -> tuple[int, ...]:
    """Return the batch sizes that the user's word names, in ascending order.

    Raises:
        UnitError: There is none, or one is no whole number of at least 1.

    Example:
        >>> batch_sizes((16, 4, 16), 8), batch_sizes(None, 8)
        ((4, 16), (8,))
    """
    if batch is None:
        return (default,)
    given = [batch] if isinstance(batch, (int, float, str)) else list(batch)
    if not given:
        raise UnitError("batch is empty; give at least one batch size, such as batch=16 or batch=(4, 16, 64).")
    return tuple(sorted({whole("batch", one) for one in given}))


def calibrate(
    name: str,
    *,
    algorithm: str = DEFAULT_ALGORITHM,
    batch: int | Iterable[int] | None = None,
    classes: int | None = None,
    precision: str = "float32",
    target: float = 0.02,
    max_time_s: float = 60.0,
    min_time_s: float = 5.0,
    parts: bool = True,
    seed: int = 0,
    on_progress: Callable[[Progress], object] | None = None,
    on_visit: Callable[[Profile], object] | None = None,
) -> Profile:
    """Measure t_grad of an architecture under a training algorithm on this machine's device.

    t_grad is loss, gradient and update of a synthetic batch that is on the device already.

    Args:
        name: Name of the architecture, such as ``squeezenet``.
        algorithm: Name of the training algorithm, such as ``momentum``.
        batch: Samples a batch, one number or several to sweep over; None for the architecture's own default.
        classes: Number of classes, which changes the last layer; None for the architecture's own.
        precision: ``float32``, or ``bfloat16`` for activations and gradients over 32-bit weights.
        target: Relative half-width of the 95 % interval of the median to reach; 0.02 is +-2 %.
        max_time_s: Wall time of the timing of a batch size at most, its warm-up included, compilation not [s].
        min_time_s: Wall time the samples of a batch size are spread over at least [s].
        parts: Whether to split the step into forward, backward and update at the profile's batch size too.
        seed: Of weights and batch.
        on_progress: Called with a ``Progress`` between samples.
        on_visit: Called with the profile of all that is known after every visit of a batch size, to save it.

    Returns:
        A profile, with what makes its numbers doubtful. A batch size that the device has no memory for is left out.

    Raises:
        UnknownNameError: Nobody knows the architecture or the algorithm.
        UnitError: A number is out of range.
        DeviceMemoryError: The device has no memory for any batch size asked for.

    Example:
        >>> profile = calibrate("nardini_mlp", batch=8, min_time_s=0.2, max_time_s=0.5, parts=False)
        >>> profile.workload.parameters, 0 < profile.t_grad_s < 1
        (266610, True)
    """
    # All that can be wrong is found out before anything that takes long.
    entry = architecture(name)
    sizes = batch_sizes(batch, entry.default_batch)
    whole("seed", seed, minimum=0)
    visits = 1 if len(sizes) == 1 else Effort.sweep().rule.min_visits
    rule = Rule(target=target, min_time_s=min_time_s, max_time_s=max_time_s, min_visits=visits)
    effort, method = Effort(rule=rule, parts=parts), known_algorithm(algorithm)
    sweep = network_sweep(
        entry, method, sizes, classes=classes, precision=precision, effort=effort, seed=seed, on_progress=on_progress
    )
    for profile in sweep.measure(sizes):
        if on_visit is not None:
            on_visit(profile)
    return profile


def network_sweep(
    entry: Architecture,
    method: Algorithm,
    sizes: tuple[int, ...],
    *,
    classes: int | None = None,
    precision: str = "float32",
    effort: Effort | None = None,
    known: Profile | None = None,
    seed: int = 0,
    on_progress: Callable[[Progress], object] | None = None,
) -> Sweep:
    """Return the sweep of an architecture, ready to measure.

    Args:
        entry: The architecture.
        method: The training algorithm.
        sizes: Batch sizes; with a single one the profile's name tells it.
        classes: Number of classes; None for the architecture's own.
        precision: Type that the network computes in.
        effort: How long to measure.
        known: An earlier profile whose timings are kept.
        seed: Of weights and batch.
        on_progress: Called with a ``Progress`` between samples.
    """
    count = entry.classes if classes is None else whole("classes", classes)
    chosen = effort or Effort()
    problem = network_problem(entry, classes=count, seed=seed, precision=precision, criterion=method.criterion)
    return Sweep(
        problem,
        method,
        name=profile_name(
            entry.name,
            method.name,
            describe_device(),
            head="" if count == entry.classes else f"-c{count}",
            precision=precision,
            batch=sizes[0] if len(sizes) == 1 else None,
        ),
        workload=Workload(
            architecture=entry.name,
            algorithm=method.name,
            tensor_elements=(1,),
            input_shape=entry.input_shape,
            precision=precision,
        ),
        batch=entry.default_batch,
        effort=chosen,
        known=known,
        seed=seed,
        facts={"classes": count, **(_dispatch(entry, count) if chosen.parts else {})},
        on_progress=on_progress,
    )


def _dispatch(entry: Architecture, classes: int) -> dict[str, float]:
    """Return what Python takes to hand a state to a step: flat, as it is timed, and as objects under ``nnx.jit``."""
    found = dispatch_time(nnx.eval_shape(lambda: entry.build(nnx.Rngs(0), classes)))
    return {"dispatch_executable_s": found.executable_s, "dispatch_nnx_jit_s": found.nnx_jit_s}


def measure_model(
    model: nnx.Module,
    batch: Any,  # noqa: ANN401 - a pytree of arrays
    loss: Callable[[Any, Any], jax.Array],
    *,
    name: str = "model",
    algorithm: str = DEFAULT_ALGORITHM,
    max_time_s: float = 60.0,
    parts: bool = True,
    on_progress: Callable[[Progress], object] | None = None,
) -> Profile:
    """Measure t_grad of your own Flax NNX model.

    Args:
        model: The model; it is copied, not changed.
        batch: Any pytree of arrays, all with the samples along their first axis.
        loss: ``loss(model, batch)``, a scalar.
        name: What the profile calls it.
        algorithm: Name of the training algorithm.
        max_time_s: Wall time of the timing at most [s].
        parts: Whether to split the step into forward, backward and update too.
        on_progress: Called with a ``Progress`` between samples.

    Returns:
        A profile, as good for ``speedup.recommend`` as that of a named network.

    Raises:
        UnknownNameError: Nobody knows the algorithm.
        UnitError: The batch has no array, or its arrays differ in their number of samples.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax import nnx
        >>> model = nnx.Linear(8, 1, rngs=nnx.Rngs(0))
        >>> batch = (jnp.ones((4, 8)), jnp.ones((4, 1)))
        >>> def loss(model, batch):
        ...     return jnp.mean((model(batch[0]) - batch[1]) ** 2)
        >>> measure_model(model, batch, loss, name="line", max_time_s=0.2, parts=False).workload.parameters
        9
    """
    problem = model_problem(model, batch, loss, name=name)
    return _own(problem, batch, algorithm, max_time_s, parts=parts, on_progress=on_progress)


def measure_loss(
    loss_fn: Callable[[Any, Any], jax.Array],
    params: Any,  # noqa: ANN401 - a pytree of arrays
    batch: Any,  # noqa: ANN401 - a pytree of arrays
    *,
    name: str = "model",
    algorithm: str = DEFAULT_ALGORITHM,
    max_time_s: float = 60.0,
    parts: bool = True,
    on_progress: Callable[[Progress], object] | None = None,
) -> Profile:
    """Measure t_grad of a loss over a pytree of parameters: plain JAX, Linen, Haiku, Equinox.

    Args:
        loss_fn: ``loss_fn(params, batch)``, a scalar, written for ``jax.grad``.
        params: Any pytree of arrays.
        batch: Any pytree of arrays, all with the samples along their first axis.
        name: What the profile calls it.
        algorithm: Name of the training algorithm.
        max_time_s: Wall time of the timing at most [s].
        parts: Whether to split the step into forward, backward and update too.
        on_progress: Called with a ``Progress`` between samples.

    Returns:
        A profile, as good for ``speedup.recommend`` as that of a named network.

    Raises:
        UnknownNameError: Nobody knows the algorithm.
        UnitError: The batch has no array, or its arrays differ in their number of samples.

    Example:
        >>> import jax.numpy as jnp
        >>> def loss(params, batch):
        ...     return jnp.mean((batch @ params["w"]) ** 2)
        >>> profile = measure_loss(loss, {"w": jnp.ones(16)}, jnp.ones((4, 16)), max_time_s=0.2, parts=False)
        >>> profile.workload.payload_bytes
        64
    """
    problem = loss_problem(loss_fn, params, batch, name=name)
    return _own(problem, batch, algorithm, max_time_s, parts=parts, on_progress=on_progress)


def _samples(batch: Any) -> int:  # noqa: ANN401 - a pytree of arrays
    counts = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(batch)}
    if len(counts) != 1 or 0 in counts:
        raise UnitError(
            f"batch: its arrays have {sorted(counts) or 'no'} samples along their first axis; all must have the same "
            "number, at least 1."
        )
    return int(counts.pop())


def _own(
    problem: Problem,
    batch: Any,  # noqa: ANN401 - a pytree of arrays
    method: str,
    max_time_s: float,
    *,
    parts: bool,
    on_progress: Callable[[Progress], object] | None,
) -> Profile:
    size, chosen = _samples(batch), known_algorithm(method)
    sweep = Sweep(
        problem,
        chosen,
        name=profile_name(problem.name, chosen.name, describe_device(), batch=size),
        workload=Workload(architecture=problem.name, algorithm=chosen.name, tensor_elements=(1,)),
        batch=size,
        effort=Effort(parts=parts).lasting(max_time_s),
        on_progress=on_progress,
    )
    *_, profile = sweep.measure((size,))
    return profile
