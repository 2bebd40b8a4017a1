"""What was measured of one workload on one device: the file in which the two packages meet.

The classes here are the values used everywhere; ``Profile.load`` and ``Profile.save`` are the file's edge,
where pydantic checks every field and reports all faults at once.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from speedup.cluster import MeasuredLink  # noqa: TC001 - pydantic reads the annotations
from speedup.efficiency import NoiseScale  # noqa: TC001 - as above
from speedup.errors import ProfileError, SpeedupError, UnitError, UnknownNameError, suggestion
from speedup.files import write_atomically
from speedup.provenance import Provenance as Provenance  # noqa: PLC0414, TC001 - found here too
from speedup.store import stored_paths
from speedup.units import positive, show_seconds, whole

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from pydantic import TypeAdapter, ValidationError

SCHEMA = "speedup.profile"
VERSION = 1

_STRICT: dict[str, object] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Samples of one duration and their summary.

    Attributes:
        median_s: Centre [s], > 0.
        provenance: Where it comes from.
        low_s: Lower end of the interval in which the median of a repetition lies with ``level`` [s].
        high_s: Upper end of it [s].
        level: Confidence level of that interval, in (0, 1).
        uncontended_s: 5 % quantile of the samples [s]: the time when nothing else runs, or little.
        cv: Coefficient of variation of the samples, >= 0.
        samples_s: The samples [s], each the mean of ``loops`` calls, in the order taken.
        steps_s: Calls timed one by one [s]: the distribution of a single step, of which a synchronous
            iteration waits for the longest.
        loops: Calls per sample.
        warmup: Calls made and thrown away before the first sample.
        stable: Whether the interval became as narrow as asked for and spread and drift stayed within their
            limits; None where nobody asked.
        batch: Batch size this was timed at, for t_grad.
        payload_bytes: Bytes moved, for t_comm.

    Raises:
        UnitError: A value is out of its range.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    median_s: float
    provenance: Provenance
    low_s: float | None = None
    high_s: float | None = None
    level: float | None = None
    uncontended_s: float | None = None
    cv: float | None = None
    samples_s: tuple[float, ...] = field(default=(), repr=False)
    steps_s: tuple[float, ...] = field(default=(), repr=False)
    loops: int | None = None
    warmup: int | None = None
    stable: bool | None = None
    batch: int | None = None
    payload_bytes: int | None = None

    def __post_init__(self) -> None:
        positive("median_s", self.median_s, "s", advice="Measure it again.")
        for name in ("samples_s", "steps_s"):
            for index, sample in enumerate(getattr(self, name)):
                positive(f"{name}[{index}]", sample, "s", advice="Measure it again.")
        if self.uncontended_s is not None:
            positive("uncontended_s", self.uncontended_s, "s", advice="Measure it again.")
        low, high = self.low_s, self.high_s
        if (low is None) != (high is None):
            raise UnitError("low_s and high_s are the two ends of one interval; give both or neither.")
        if low is not None and high is not None and not 0 < low <= self.median_s <= high:
            raise UnitError(f"interval [{low:g}, {high:g}] s does not contain the median {self.median_s:g} s.")
        if self.level is not None and not 0 < self.level < 1:
            raise UnitError(f"level = {self.level:g}; it must be between 0 and 1.")
        if self.cv is not None and not (math.isfinite(self.cv) and self.cv >= 0):
            raise UnitError(f"cv = {self.cv:g}; it must be at least 0.")
        for name in ("batch", "payload_bytes", "loops"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name))

    def __str__(self) -> str:
        if self.low_s is None or self.high_s is None or self.level is None:
            return show_seconds(self.median_s)
        interval = f"[{show_seconds(self.low_s)}, {show_seconds(self.high_s)}]"
        return f"{show_seconds(self.median_s)} {interval} ({self.level:.0%})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is trained.

    Attributes:
        architecture: Name of the network.
        tensor_elements: Elements of each tensor that travels, in forward order, kernel before bias: all
            trainable ones, which for edge-popup are the scores.
        algorithm: Training algorithm.
        batch: Samples in one batch of one worker; None where the source does not say.
        input_shape: Shape of one sample; None where the source does not say.
        element_bytes: Bytes of one element on the wire.
        precision: Type that the network computes in.
        tensor_shapes: Shape of each tensor, in the same order; None where nobody said.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> Workload(architecture="mlp", tensor_elements=(235200, 300)).payload_bytes
        942000
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    architecture: str
    tensor_elements: tuple[int, ...]
    algorithm: str = "sgd"
    batch: int | None = None
    input_shape: tuple[int, ...] | None = None
    element_bytes: int = 4
    precision: str = "float32"
    tensor_shapes: tuple[tuple[int, ...], ...] | None = None

    def __post_init__(self) -> None:
        if self.tensor_shapes is not None and tuple(map(math.prod, self.tensor_shapes)) != self.tensor_elements:
            raise UnitError("tensor_shapes do not have the elements that tensor_elements says; leave them out.")
        if not self.tensor_elements:
            raise UnitError("tensor_elements is empty; list the elements of every trainable tensor.")
        for index, elements in enumerate(self.tensor_elements):
            whole(f"tensor_elements[{index}]", elements)
        whole("element_bytes", self.element_bytes)
        if self.batch is not None:
            whole("batch", self.batch)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each tensor; where nobody said, that of a vector with as many elements."""
        return self.tensor_shapes or tuple((elements,) for elements in self.tensor_elements)

    @property
    def parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(self.tensor_elements)

    @property
    def payload_bytes(self) -> int:
        """Bytes of all weights, which are also the bytes of all gradients: one transfer, one direction."""
        return self.parameters * self.element_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What the gradient was computed on.

    Attributes:
        platform: ``cpu``, ``gpu`` or ``tpu``.
        name: The maker's name of it.
        cores: Cores the process could use, for a CPU.
        memory_bytes: Memory of the device.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    platform: str
    name: str
    cores: int | None = None
    memory_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.name}, {self.cores} core{'s' if self.cores != 1 else ''}" if self.cores else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """What one step at one batch size costs besides its time, and what its time is made of.

    A field is None where nobody measured it.

    Attributes:
        batch: Samples in the batch.
        flops: Floating-point operations as the compiler counts them; a label, not a predictor.
        bytes_accessed: Bytes read and written as the compiler counts them.
        weights_bytes: Weights, frozen ones included.
        gradients_bytes: Gradients of the trainable ones.
        optimizer_state_bytes: State of the optimizer.
        activations_bytes: Temporary memory of the step, most of it activations.
        forward_s: The loss alone [s].
        backward_s: Loss and gradient, less the loss alone [s].
        update_s: The step, less loss and gradient [s].
        input_s: Moving the batch from the host's memory to the device [s]; no part of t_grad.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> StepCost(batch=16, weights_bytes=4000, optimizer_state_bytes=8000).memory_bytes is None
        True
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    batch: int
    flops: float | None = None
    bytes_accessed: float | None = None
    weights_bytes: int | None = None
    gradients_bytes: int | None = None
    optimizer_state_bytes: int | None = None
    activations_bytes: int | None = None
    forward_s: float | None = None
    backward_s: float | None = None
    update_s: float | None = None
    input_s: float | None = None

    def __post_init__(self) -> None:
        whole("batch", self.batch)
        for field_ in fields(self):
            value = getattr(self, field_.name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UnitError(f"{field_.name} = {value:g}; it must be finite and at least 0.")

    @property
    def memory_bytes(self) -> int | None:
        """Weights, gradients, optimizer state and activations together; None unless all are known."""
        parts = (self.weights_bytes, self.gradients_bytes, self.optimizer_state_bytes, self.activations_bytes)
        known = [part for part in parts if part is not None]
        return sum(known) if len(known) == len(parts) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run in which a step and what it sends stay the same.

    Attributes:
        name: Such as ``epochs 1-3``.
        batches: Its batches; where several steps are made between two exchanges, as in a round of distributed
            edge-popup, its exchanges.
        t_grad: Time of what a worker computes between two exchanges.
        tensor_elements: Elements of each tensor that travels.
        element_bytes: Bytes of one element on the wire.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> t_grad = Timing(median_s=0.02, provenance=Provenance.MEASURED)
        >>> Phase(name="epoch 1", batches=600, t_grad=t_grad, tensor_elements=(235200, 300)).payload_bytes
        942000
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    batches: int
    t_grad: Timing
    tensor_elements: tuple[int, ...]
    element_bytes: int = 4

    def __post_init__(self) -> None:
        whole("batches", self.batches)
        if not self.tensor_elements:
            raise UnitError(f'phase "{self.name}": tensor_elements is empty; list what travels.')
        for index, elements in enumerate(self.tensor_elements):
            whole(f"tensor_elements[{index}]", elements)

    @property
    def payload_bytes(self) -> int:
        """Bytes of one transfer, one direction."""
        return sum(self.tensor_elements) * self.element_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Workload, timings, device and environment of one calibration.

    Attributes:
        name: Short name; the file's name for a shipped profile.
        workload: What was trained.
        t_grad: Time of one step (loss, gradient, update) of one batch on one worker, one a batch size.
        device: What it was measured on.
        costs: Memory, operations and the parts of a step, one a batch size, where they were measured.
        t_comm: Time of moving the payload once, where that was measured or published.
        link: The link that it is to be trained over, where that was measured.
        compile_s: Time of compiling the step [s]; never part of a sample.
        environment: Facts that may change the numbers.
        warnings: What a reader of the numbers should know.
        created: When it was measured, ISO 8601.
        source: Document and place, for a published profile.
        phases: The parts of a run that changes on the way, in their order, as pruning makes it change; empty for a run
            that does not. The profile's own t_grad and tensors then are those of the beginning.
        noise_scale: Gradient noise scale of the training, where that was measured.

    Raises:
        UnitError: A value is out of its range.

    Example:
        >>> profile = Profile.load("squeezenet")
        >>> profile.t_grad_s, profile.t_comm.median_s
        (0.758, 0.033)
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    workload: Workload
    t_grad: tuple[Timing, ...]
    device: Device
    costs: tuple[StepCost, ...] = ()
    t_comm: Timing | None = None
    link: MeasuredLink | None = None
    compile_s: float | None = None
    environment: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    created: str | None = None
    source: str | None = None
    phases: tuple[Phase, ...] = ()
    noise_scale: NoiseScale | None = None

    def __post_init__(self) -> None:
        if not self.t_grad:
            raise UnitError("t_grad is empty; a profile has at least one timing of the gradient.")
        if self.workload.batch not in {timing.batch for timing in self.t_grad}:
            raise UnitError(f"t_grad has no timing at the workload's batch {self.workload.batch}.")

    @property
    def t_grad_timing(self) -> Timing:
        """The timing at the workload's own batch size."""
        return next(timing for timing in self.t_grad if timing.batch == self.workload.batch)

    @property
    def t_grad_s(self) -> float:
        """Median of that timing [s]."""
        return self.t_grad_timing.median_s

    def of_phase(self, phase: Phase) -> Profile:
        """Return the profile of one phase alone; a transfer that was timed counts only if it was of its payload."""
        workload = replace(
            self.workload,
            tensor_elements=phase.tensor_elements,
            element_bytes=phase.element_bytes,
            tensor_shapes=self.workload.tensor_shapes
            if phase.tensor_elements == self.workload.tensor_elements
            else None,
        )
        return replace(
            self,
            name=f"{self.name}, {phase.name}",
            workload=workload,
            t_grad=(replace(phase.t_grad, batch=workload.batch),),
            costs=(),
            t_comm=self.t_comm if phase.payload_bytes == self.workload.payload_bytes else None,
            phases=(),
        )

    def plot(self) -> go.Figure:
        """Return t_grad against the batch size as a figure; of a run that changes, its phases (``speedup.figures``).

        Raises:
            ProfileError: There are no phases, and no timing states its batch size.
        """
        from speedup.figures import gradient_time_figure, phases_figure  # noqa: PLC0415 - for those who look at it

        return phases_figure(self) if self.phases else gradient_time_figure(self)

    @classmethod
    def load(cls, name_or_path: str | Path) -> Profile:
        """Return a shipped or stored profile by its name, or read one from a file.

        Of two with the same name, the one measured here and stored is returned.

        Args:
            name_or_path: Name, upper or lower case; or a path (it exists, ends in ``.json``, or has a
                folder in it).

        Raises:
            UnknownNameError: Neither a shipped nor a stored profile has that name.
            ProfileError: The file is missing, broken, or of a newer version; all faults are listed.
        """
        path = Path(name_or_path)
        if path.suffix == ".json" or len(path.parts) > 1 or path.is_file():
            return read_profile(path)
        return _named(str(name_or_path))

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """Return the JSON Schema of the file that ``save`` writes and ``load`` reads.

        Example:
            >>> Profile.json_schema()["properties"]["schema"]
            {'const': 'speedup.profile/1'}
        """
        schema = _adapter().json_schema()
        named = {"schema": {"const": f"{SCHEMA}/{VERSION}"}}
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **schema,
            "properties": named | schema["properties"],
            "required": ["schema", *schema["required"]],
        }

    def to_json(self) -> str:
        """Return the profile as one JSON document, raw samples included."""
        document = {
            "schema": f"{SCHEMA}/{VERSION}",
            **_adapter().dump_python(self, mode="json", exclude_none=True),
        }
        text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
        # One line for a list of numbers: a thousand samples would be a thousand lines.
        return re.sub(r"\[[-+\d.,\seE]*\]", lambda found: " ".join(found[0].split()), text) + "\n"

    def save(self, path: str | Path) -> Path:
        """Write the profile to ``path`` atomically.

        Raises:
            FileError: It cannot be written there.
        """
        return write_atomically(path, self.to_json())


@cache
def _adapter() -> TypeAdapter[Profile]:
    # At the file's edge only, and only when there is a file: importing pydantic costs more than NumPy.
    from pydantic import TypeAdapter  # noqa: PLC0415

    return TypeAdapter(Profile)


def read_profile(path: Path) -> Profile:
    """Read a profile from a file.

    Raises:
        ProfileError: The file is missing, broken, or of a newer version; all faults are listed.
    """
    document = _read_document(path)
    _check_version(path, document.pop("schema", None))
    from pydantic import ValidationError  # noqa: PLC0415 - see _adapter

    try:
        return _adapter().validate_python(document)
    except ValidationError as error:
        raise ProfileError("\n".join(f"profile {path}: {fault}" for fault in _faults(error))) from None


def _read_document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProfileError(f"profile {path} does not exist. Measure one: speedup calibrate NAME -o {path}") from None
    except OSError as error:
        raise ProfileError(f"profile {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ProfileError(f"profile {path} is not a text file; a profile is JSON in UTF-8.") from None
    except json.JSONDecodeError as error:
        raise ProfileError(
            f"profile {path} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "Was it cut off? Measure it again."
        ) from None
    if not isinstance(document, dict):
        raise ProfileError(f"profile {path} is JSON, but not a profile: it must be an object with a schema.")
    return document


def _check_version(path: Path, schema: object) -> None:
    kind, _, number = str(schema).partition("/")
    if kind != SCHEMA or not number.isdigit():
        raise ProfileError(f'profile {path} has schema {schema!r}; it must be "{SCHEMA}/{VERSION}".')
    if int(number) > VERSION:
        raise ProfileError(
            f"{path} has schema {schema}; this version reads {VERSION}. Upgrade: pip install -U speedup-toolkit"
        )


def _faults(error: ValidationError) -> list[str]:
    """Return one line a fault; a missing field and a misspelt one beside it are one fault."""
    faults = error.errors(include_url=False)
    unknown = {entry["loc"] for entry in faults if entry["type"] == "unexpected_keyword_argument"}
    missing = [entry["loc"] for entry in faults if entry["type"] == "missing"]
    lines = []
    for place in missing:
        near = [loc for loc in unknown if loc[:-1] == place[:-1] and suggestion(str(loc[-1]), [str(place[-1])])]
        unknown -= set(near)
        hint = f'; it has "{near[0][-1]}": misspelt?' if near else "."
        lines.append(f'{_where(place[:-1])} has no "{place[-1]}"{hint}')
    lines += [f'{_where(place[:-1])} has an unknown field "{place[-1]}".' for place in sorted(unknown, key=str)]
    for entry in faults:
        if entry["type"] not in {"missing", "unexpected_keyword_argument"}:
            cause = entry.get("ctx", {}).get("error")
            said = str(cause) if isinstance(cause, SpeedupError) else f"{entry['msg']}, got {entry['input']!r:.60}"
            lines.append(f"{_where(entry['loc'])}: {said}")
    return lines


def _where(place: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
    return text or "the profile"


def _data_folder() -> Path:
    """Return the folder of the shipped profiles: inside a wheel, or beside an editable installation."""
    packaged = Path(str(resources.files("speedup"))) / "_data" / "profiles"
    return packaged if packaged.is_dir() else Path(__file__).resolve().parent.parent / "data" / "profiles"


def shipped_paths() -> dict[str, Path]:
    """Return the files of the shipped profiles by name."""
    return {path.stem: path for path in sorted(_data_folder().glob("*.json"))}


def profile_names() -> tuple[str, ...]:
    """Return the names of the shipped profiles, sorted."""
    return tuple(shipped_paths())


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _named(name: str) -> Profile:
    known = shipped_paths() | stored_paths()
    found = [path for candidate, path in known.items() if _plain(candidate) == _plain(name)]
    if not found:
        stored = ", ".join(stored_paths()) or "none yet"
        raise UnknownNameError(
            f'unknown profile "{name}". {suggestion(name, known)}Shipped: {", ".join(profile_names())}. '
            f"Measured here: {stored}. Measure your own: speedup calibrate NAME."
        )
    return read_profile(found[-1])


def profiles() -> dict[str, Profile]:
    """Return the shipped profiles by name.

    The four networks of Table 6.1 of the thesis carry its measured t_grad and t_comm; the others were
    measured by this package on the device that each names.

    Example:
        >>> profiles()["resnet34"].t_grad_s
        0.821
    """
    return {name: read_profile(path) for name, path in shipped_paths().items()}
