"""Labelled images as they are distributed, and batches of them that are functions of a number.

``load_dataset`` reads MNIST and Fashion-MNIST from idx files and CIFAR-10 from its binary version. It downloads
nothing: the files lie in a folder that the user names, and what lies there is checked before it is trained on. Without
any files there are ``digits``, a small set of real images that scikit-learn carries, and ``synthetic``, a problem that
can be learned and is made, not measured.

Batch number i of a seed is always the same batch, whoever asks for it and whatever was asked for before: workers
need no common iterator, and a run that goes on after a crash goes on with the batch it had come to.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import lzma
import math
import os
import re
import tarfile
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from speedup.errors import MissingExtraError, SpeedupError, UnitError, UnknownNameError, suggestion
from speedup.units import positive, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Inputs: TypeAlias = "NDArray[np.uint8] | NDArray[np.float32]"
Labels: TypeAlias = "NDArray[np.int32]"

VARIABLE = "SPEEDUP_DATA"
"""Environment variable that names the folder of the datasets."""

DIGITS = "digits"
_IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_CIFAR_ARCHIVE = "cifar-10-binary.tar.gz"
# Of the contents, so that it does not matter who compressed them. Those of the idx files were taken from files whose
# MD5 are the published ones, which are of the compressed files; those of CIFAR-10 are the ones that Gluon checks.
_SHA1: Mapping[str, tuple[str, ...]] = {
    "mnist": (
        "c3557c10f29b266e19b3eeee1553c85e0ef4a8ea",
        "adbf52269f5d842899f287c269e2883e40b4f6e2",
        "65e11ec1fd220343092a5070b58418b5c2644e26",
        "a6d52cc628797e845885543326e9f10abb8a6f89",
    ),
    "fashion_mnist": (
        "b9bd999c0106c9b8b4b0cefce58c9a6060f27095",
        "4bccf37222e01638381eaa326bf730337a597267",
        "880056926db704f9f713097915f99da346f5b1d1",
        "958122e8b4b97fd4e71eca2d08ef754ed77c3ad9",
    ),
    "cifar10": (
        "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
        "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
        "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
        "aab85764eb3584312d3c7f65fd2fd016e36a258e",
        "26e2849e66a845b7f1e4614ae70f4889ae604628",
        "67eb016db431130d61cd03c7ad570b013799c88c",
    ),
}
# Where other libraries put them, and last the folder itself: MNIST and Fashion-MNIST share their files' names.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "mnist": ("mnist", "MNIST/raw", "."),
    "fashion_mnist": ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "."),
    "cifar10": ("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "."),
}
_PART = re.compile(r"(.+)-(train|test)-first\d+\.bin\.xz")
_SIDE, _CHANNELS, _CLASSES = 32, 3, 10
_RECORD = 1 + _CHANNELS * _SIDE * _SIDE
# A thousand images at a time keep the numbers in 64 bits small beside the images.
_AT_A_TIME = 1000


class DatasetError(SpeedupError):
    """A file of a dataset that is missing, cut off, damaged or another one's."""

    exit_code = 3


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with a label each, in a part to train on and a part to test with.

    Attributes:
        name: What it is called.
        train_inputs: Shape ``(samples, *sample)``, channels last; bytes for images, else 32-bit floats.
        train_labels: Shape ``(samples,)``, whole numbers below ``classes``.
        test_inputs: As ``train_inputs``.
        test_labels: As ``train_labels``.
        classes: Number of classes.
        note: What a reader of results should know, such as that the images are degraded; empty where they are whole
            and as distributed.
        unit: Whether inputs are only brought between 0 and 1, as the sources do with images, and not standardised.
    """

    name: str
    train_inputs: Inputs
    train_labels: Labels
    test_inputs: Inputs
    test_labels: Labels
    classes: int
    note: str = ""
    unit: bool = False

    @cached_property
    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is taken away from inputs, and what they are divided by then.

        That is mean and standard deviation of the training inputs, one a channel for images, else one of each; or 0 and
        the largest that a pixel can be.
        """
        inputs = self.train_inputs
        if self.unit:
            return np.zeros(1), np.full(1, 255.0 if inputs.dtype == np.uint8 else 1.0)
        axes = tuple(range(inputs.ndim - 1)) if inputs.ndim == 4 else None
        total, squares = np.float64(0), np.float64(0)
        for start in range(0, len(inputs), _AT_A_TIME):
            part = inputs[start : start + _AT_A_TIME].astype(np.float64)
            total, squares = total + part.sum(axis=axes), squares + np.square(part).sum(axis=axes)
        count = inputs.size / np.size(total)
        mean = np.atleast_1d(total / count)
        deviation = np.sqrt(np.maximum(np.atleast_1d(squares / count) - mean**2, 0))
        return mean, deviation

    def standardised(self, inputs: Inputs, input_shape: Sequence[int]) -> NDArray[np.float32]:
        """Return inputs with the training inputs' mean taken away, divided by their deviation, in another shape.

        Args:
            inputs: Training or test inputs, shape ``(samples, *sample)``.
            input_shape: Shape of a sample as the network takes it, with as many elements.

        Raises:
            UnitError: The shape has another number of elements.

        Example:
            >>> data = synthetic((4, 4, 1), classes=2, train=100, test=10)
            >>> data.standardised(data.test_inputs, (16,)).shape
            (10, 16)
        """
        _check_shape(self, input_shape)
        mean, deviation = (moment.astype(np.float32) for moment in self.moments)
        result = inputs.astype(np.float32)
        result -= mean
        # A channel that is the same everywhere says nothing, and becomes zero.
        result /= np.where(deviation > 0, deviation, np.float32(1))
        return result.reshape(len(inputs), *input_shape)

    def limited(self, train_samples: int | None = None, held_out: int | None = None) -> Dataset:
        """Return fewer samples: the first ones to train on, and the training samples after them to test with.

        Samples that were held out choose a learning rate without a look at the test samples.

        Args:
            train_samples: How many to train on; None for all that are not held out.
            held_out: How many of the training samples after those to test with; None for the test samples.

        Raises:
            UnitError: There are not so many training samples.

        Example:
            >>> data = synthetic((6,), classes=3, train=100, test=10).limited(60, held_out=20)
            >>> len(data.train_labels), len(data.test_labels)
            (60, 20)
            >>> data.note
            'synthetic: Gaussian classes, not measured; trained on the first 60 samples; tested on the 20 after them'
        """
        have, rest = len(self.train_labels), 0 if held_out is None else whole("held_out", held_out)
        count = whole("train_samples", have - rest if train_samples is None else train_samples)
        if count + rest > have:
            raise UnitError(f"train_samples = {count} and held_out = {rest}; {self.name} has {have} training samples.")
        notes = [self.note] if self.note else []
        test = (self.test_inputs, self.test_labels)
        if count < have:
            notes.append(f"trained on the first {count} samples")
        if rest:
            notes.append(f"tested on the {rest} after them")
            test = (self.train_inputs[count : count + rest], self.train_labels[count : count + rest])
        train = (self.train_inputs[:count], self.train_labels[:count])
        return Dataset(self.name, *train, *test, classes=self.classes, note="; ".join(notes), unit=self.unit)


def _check_shape(dataset: Dataset, input_shape: Sequence[int]) -> None:
    own = dataset.train_inputs.shape[1:]
    if math.prod(input_shape) != math.prod(own):
        raise UnitError(
            f"input_shape = {tuple(input_shape)} has {math.prod(input_shape)} elements; a sample of {dataset.name} has "
            f"{math.prod(own)}, {own}. Images are not resized: take a network for that many elements."
        )


def load_dataset(name: str, folder: str | Path | None = None) -> Dataset:
    """Read a dataset from files as they are distributed.

    The files lie in the folder or in a sub-folder called after the dataset. idx files may be plain or end in ``.gz``;
    of CIFAR-10's binary version there are the six ``.bin`` files or the archive. Their contents must have the known
    SHA-1.

    In place of the whole CIFAR-10 there may be parts of it: ``KIND-train-firstN.bin.xz`` and
    ``KIND-test-firstM.bin.xz``, xz-compressed, hold the first N and M of the same records, and a KIND in which
    ``jpeg`` occurs says that the images went through JPEG. No checksum of those is known, and the note says what they
    are.

    Args:
        name: ``mnist``, ``fashion_mnist`` or ``cifar10``; or ``digits``, which needs no folder.
        folder: Where the files are; None for what the environment variable ``SPEEDUP_DATA`` says.

    Raises:
        MissingExtraError: scikit-learn, which has the digits, is not installed.
        UnknownNameError: Nobody knows the name.
        DatasetError: No folder is named; a file is missing, cut off, damaged or another one's.

    Example:
        >>> load_dataset("mnits", ".")
        Traceback (most recent call last):
        speedup.errors.UnknownNameError: unknown dataset "mnits". Did you mean "mnist"? It is one of mnist, ...
    """
    key = name.lower().replace("-", "_")
    if key == DIGITS:
        return digits()
    if key not in _READERS:
        names = (*_READERS, DIGITS)
        raise UnknownNameError(f'unknown dataset "{name}". {suggestion(name, names)}It is one of {", ".join(names)}.')
    chosen = folder if folder is not None else os.environ.get(VARIABLE)
    if not chosen:
        raise DatasetError(
            f"no folder is named for {key}. Put {_wanted(key)} into one, and name it in folder= or in the environment "
            f"variable {VARIABLE}."
        )
    return _READERS[key](Path(chosen), key)


def _wanted(name: str) -> str:
    if name == "cifar10":
        return f"{', '.join(_CIFAR_FILES)} (or {_CIFAR_ARCHIVE})"
    return f"{', '.join(_IDX_FILES)} (or these with .gz)"


def _absent(name: str, root: Path) -> DatasetError:
    places = ", ".join(str(root / place) for place in _PLACES[name])
    return DatasetError(
        f"{name} needs {_wanted(name)}; not all of them are in any of {places}. Put them there as they are "
        f"distributed, or name another folder in folder= or {VARIABLE}."
    )


def _load_idx(root: Path, name: str) -> Dataset:
    for place in _PLACES[name]:
        found = [_plain_or_gz(root / place / file) for file in _IDX_FILES]
        paths = [path for path in found if path is not None]
        if len(paths) == len(_IDX_FILES):
            arrays = [_verified_idx(path, digest) for path, digest in zip(paths, _SHA1[name], strict=True)]
            return _images(name, arrays)
    raise _absent(name, root)


def _plain_or_gz(path: Path) -> Path | None:
    return next((found for found in (path, path.with_name(f"{path.name}.gz")) if found.is_file()), None)


def _images(name: str, arrays: Sequence[NDArray[np.uint8]]) -> Dataset:
    train, train_labels, test, test_labels = arrays
    return Dataset(
        name=name,
        train_inputs=train[..., np.newaxis],
        train_labels=train_labels.astype(np.int32),
        test_inputs=test[..., np.newaxis],
        test_labels=test_labels.astype(np.int32),
        classes=_CLASSES,
    )


def _verified_idx(path: Path, digest: str) -> NDArray[np.uint8]:
    content = _content(path)
    # The shape first: that a file is cut off says more than that its checksum is another.
    array = _parse_idx(content, path)
    _check_digest(content, digest, path)
    return array


def _check_digest(content: bytes, digest: str, where: Path) -> None:
    found = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    if found != digest:
        raise DatasetError(
            f"{where} is not the file that is distributed: its content, {len(content)} bytes, has SHA-1 {found}, not "
            f"{digest}. It is damaged or another dataset's; get it again."
        )


def _content(path: Path) -> bytes:
    """Return what is in a file, decompressed where its name says that it is compressed."""
    try:
        if path.suffix == ".gz":
            return gzip.decompress(path.read_bytes())
        return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    except EOFError:
        raise _cut_off(path) from None
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        if "ended before" in str(error):
            raise _cut_off(path) from None
        raise DatasetError(f"{path} is damaged: {str(error).rstrip('.')}. Get it again.") from None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from None


def _cut_off(path: Path) -> DatasetError:
    return DatasetError(
        f"{path} is cut off: its {path.stat().st_size} bytes end inside the compressed data. Get it again."
    )


def read_idx(path: str | Path) -> NDArray[np.uint8]:
    """Read an idx file of bytes, plain or ending in ``.gz``, without looking at a checksum.

    The format, numbers in big-endian order: two bytes of zero; the type of the elements, 8 for bytes; the number d of
    dimensions; d sizes of four bytes; the elements, last dimension fastest.

    Args:
        path: The file.

    Returns:
        The elements in the shape that the file says; they cannot be changed.

    Raises:
        DatasetError: The file is missing, cut off, damaged or no idx file of bytes.
    """
    return _parse_idx(_content(Path(path)), Path(path))


def _parse_idx(content: bytes, path: Path) -> NDArray[np.uint8]:
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise DatasetError(
            f"{path} is no idx file of bytes: it begins with {content[:4].hex(' ') or 'nothing'}; 00 00 08 and the "
            "number of dimensions are needed. Get it again."
        )
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DatasetError(f"{path} is cut off in its header, after {len(content)} of {start} bytes. Get it again.")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", content[3], 4))
    if len(content) != start + math.prod(shape):
        raise DatasetError(
            f"{path} has {len(content)} bytes of content; its header says {start + math.prod(shape)}, for shape "
            f"{shape}. It is cut off or damaged; get it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _load_cifar10(root: Path, name: str) -> Dataset:
    for place in _PLACES[name]:
        folder = root / place
        present = [file for file in _CIFAR_FILES if (folder / file).is_file()]
        if len(present) == len(_CIFAR_FILES):
            paths = [folder / file for file in _CIFAR_FILES]
            return _whole_cifar10([_content(path) for path in paths], paths)
        if present:
            # Never parts of another kind in place of a copy that was begun.
            missing = ", ".join(sorted(set(_CIFAR_FILES) - set(present)))
            raise DatasetError(f"{folder} has only {len(present)} of CIFAR-10's six files; {missing} is missing.")
        if (folder / _CIFAR_ARCHIVE).is_file():
            return _whole_cifar10(*_unpacked(folder / _CIFAR_ARCHIVE))
        if pair := _pair_of_parts(folder):
            return _part_of_cifar10(*pair)
    raise _absent(name, root)


def _unpacked(archive: Path) -> tuple[list[bytes], list[Path]]:
    wanted = dict.fromkeys(_CIFAR_FILES, b"")
    try:
        with tarfile.open(archive) as members:
            for member in members:
                stream = members.extractfile(member) if Path(member.name).name in wanted else None
                if stream is not None:
                    wanted[Path(member.name).name] = stream.read()
    except EOFError:
        raise _cut_off(archive) from None
    except (tarfile.TarError, zlib.error, OSError) as error:
        raise DatasetError(f"{archive} is damaged: {error}. Get it again.") from None
    return list(wanted.values()), [archive / file for file in wanted]


def _whole_cifar10(contents: Sequence[bytes], paths: Sequence[Path]) -> Dataset:
    parts = [_parse_records(content, path) for content, path in zip(contents, paths, strict=True)]
    for content, digest, path in zip(contents, _SHA1["cifar10"], paths, strict=True):
        _check_digest(content, digest, path)
    train_inputs = np.concatenate([inputs for inputs, _ in parts[:-1]])
    train_labels = np.concatenate([labels for _, labels in parts[:-1]])
    return Dataset("cifar10", train_inputs, train_labels, *parts[-1], classes=_CLASSES)


def _pair_of_parts(folder: Path) -> tuple[Path, Path] | None:
    """Return a part of the training images and one of the test images of the same kind, true pixels first."""
    found = [match for path in folder.glob("*.bin.xz") if (match := _PART.fullmatch(path.name))]
    trains, tests = ([match for match in found if match[2] == which] for which in ("train", "test"))
    pairs = [(folder / train[0], folder / test[0]) for train in trains for test in tests if train[1] == test[1]]
    return min(pairs, key=lambda pair: ("jpeg" in pair[0].name, pair), default=None)


def _part_of_cifar10(train: Path, test: Path) -> Dataset:
    parts = [_parse_records(_content(path), path) for path in (train, test)]
    for path, (_, labels) in zip((train, test), parts, strict=True):
        said = int(path.name.removesuffix(".bin.xz").rpartition("first")[2])
        if len(labels) != said:
            raise DatasetError(f"{path} has {len(labels)} records; its name says {said}. Get it again.")
    extent = f"the first {len(parts[0][1])} training and {len(parts[1][1])} test images only"
    quality = re.search(r"jpeg(\d*)", train.name)
    degraded = "JPEG-degraded" + (f" (quality {quality[1]})" if quality and quality[1] else "")
    note = f"{degraded}, not CIFAR-10's own pixels; {extent}" if quality else extent
    return Dataset("cifar10", *parts[0], *parts[1], classes=_CLASSES, note=note)


def _parse_records(content: bytes, path: Path) -> tuple[NDArray[np.uint8], Labels]:
    """Return images, channels last, and labels of CIFAR-10's binary records.

    A record is a label and 32 rows of 32 bytes of red, then of green, then of blue.
    """
    count, rest = divmod(len(content), _RECORD)
    if rest or not count:
        raise DatasetError(
            f"{path} has {len(content)} bytes of content, {count} records of {_RECORD} bytes and {rest} bytes more. "
            "It is cut off or no file of CIFAR-10's binary version; get it again."
        )
    records = np.frombuffer(content, np.uint8).reshape(count, _RECORD)
    labels = records[:, 0].astype(np.int32)
    if labels.max() >= _CLASSES:
        first = int(np.argmax(labels >= _CLASSES))
        raise DatasetError(f"{path} has label {labels[first]} in record {first}; labels are 0 to 9. Get it again.")
    planes = records[:, 1:].reshape(count, _CHANNELS, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


_READERS: Mapping[str, Callable[[Path, str], Dataset]] = {
    "mnist": _load_idx,
    "fashion_mnist": _load_idx,
    "cifar10": _load_cifar10,
}


def digits() -> Dataset:
    """Return 1,797 handwritten digits of 43 people, which come with scikit-learn: real images without any file.

    They are 8 x 8 pixels with 17 shades, each three times as wide and high here and with a margin of two, so that
    networks for 28 x 28 take them. Every fifth is one to test with.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Source:
        E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits. UCI Machine Learning Repository (1998).

    Example:
        >>> digits().train_inputs.shape, digits().note
        ((1437, 28, 28, 1), 'digits of 8 x 8 pixels, enlarged to 28 x 28')
    """
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra of its own
    except ImportError:
        raise MissingExtraError(
            'the digits come with scikit-learn, which is not installed. Run: pip install "speedup-toolkit[digits]"'
        ) from None
    found = load_digits()
    shades = np.rint(found.images * (255 / 16)).astype(np.uint8)
    images = np.pad(shades.repeat(3, axis=1).repeat(3, axis=2), ((0, 0), (2, 2), (2, 2)))[..., np.newaxis]
    labels, test = found.target.astype(np.int32), np.arange(len(images)) % 5 == 0
    note = "digits of 8 x 8 pixels, enlarged to 28 x 28"
    return Dataset(DIGITS, images[~test], labels[~test], images[test], labels[test], classes=_CLASSES, note=note)


def synthetic(
    input_shape: Sequence[int] = (784,),
    classes: int = 10,
    *,
    train: int = 2000,
    test: int = 500,
    seed: int = 0,
    separation: float = 6.0,
) -> Dataset:
    r"""Return a problem that is made: one Gaussian a class, of the same spread in every direction.

    .. math:: x = \frac{s}{\sqrt 2}\, u_y + z, \qquad u_y \text{ of length 1}, \quad z_i \sim N(0, 1)

    The directions u are drawn at random, the labels are balanced. In many dimensions any two classes are about s
    deviations apart, and of two the best classifier mistakes a share of Phi(-s/2), 0.13 % at s = 6; in few dimensions
    they may be nearer.

    Args:
        input_shape: Shape of a sample.
        classes: Number of classes.
        train: Training samples.
        test: Test samples.
        seed: Of everything drawn.
        separation: Distance s of two classes, in deviations.

    Raises:
        UnitError: A number is out of its range.

    Example:
        >>> data = synthetic((8, 8, 3), classes=4, train=100, test=20)
        >>> data.train_inputs.shape, np.bincount(data.test_labels).tolist()
        ((100, 8, 8, 3), [5, 5, 5, 5])
    """
    whole("classes", classes)
    positive("separation", separation, "deviations")
    random = _generator(whole("seed", seed, minimum=0), 0)
    centres = random.standard_normal((classes, math.prod(input_shape)))
    centres *= separation / math.sqrt(2) / np.linalg.norm(centres, axis=1, keepdims=True)

    def draw(samples: int) -> tuple[NDArray[np.float32], Labels]:
        labels = random.permutation(np.arange(samples, dtype=np.int32) % classes)
        noise = random.standard_normal((samples, math.prod(input_shape)), dtype=np.float32)
        inputs = (noise + centres[labels]).astype(np.float32)
        return inputs.reshape(samples, *input_shape), labels

    training, testing = draw(whole("train", train)), draw(whole("test", test))
    return Dataset("synthetic", *training, *testing, classes=classes, note="synthetic: Gaussian classes, not measured")


def _generator(seed: int, stream: int) -> np.random.Generator:
    """Return a generator that depends on the two numbers alone, whatever was drawn before."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, stream])))


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    return _generator(seed, epoch).permutation(samples)


def _samples_of_batch(index: int, batch: int, seed: int, samples: int) -> NDArray[np.int64]:
    """Return which training samples are in a batch: one stretch of all epochs' orders end to end."""
    epochs, places = np.divmod(np.arange(index * batch, (index + 1) * batch), samples)
    chosen = [_order(seed, int(epoch), samples)[places[epochs == epoch]] for epoch in np.unique(epochs)]
    return np.concatenate(chosen)


def _check_request(dataset: Dataset, batch: int, seed: int, input_shape: Sequence[int], part: slice | None) -> None:
    _check_shape(dataset, input_shape)
    whole("seed", seed, minimum=0)
    if not range(whole("batch", batch))[part or slice(None)]:
        raise UnitError(f"part = {part} leaves nothing of a batch of {batch}; it must hold at least one sample.")


def batch_at(
    dataset: Dataset, index: int, batch: int, seed: int, input_shape: Sequence[int], part: slice | None = None
) -> tuple[NDArray[np.float32], Labels]:
    """Return one batch of training samples: a function of its number and the seed.

    Every epoch has every sample once, in an order of its own. Where the batch does not divide the number of samples, a
    batch ends one epoch and begins the next.

    Args:
        dataset: What to draw from.
        index: Number of the batch, from 0.
        batch: Samples in it.
        seed: Of the orders.
        input_shape: Shape of a sample as the network takes it, with as many elements as the dataset's.
        part: Which of the batch's samples to return, for a worker that computes its share of each batch; None for all.

    Returns:
        Standardised inputs of shape ``(batch, *input_shape)`` and their labels.

    Raises:
        UnitError: A number is out of its range, the shape has another number of elements, or the part is empty.

    Example:
        >>> data = synthetic((6,), classes=3, train=100, test=10)
        >>> inputs, labels = batch_at(data, 7, 32, seed=1, input_shape=(2, 3))
        >>> half, _ = batch_at(data, 7, 32, seed=1, input_shape=(2, 3), part=slice(16, 32))
        >>> inputs.shape, labels.dtype.name, bool((inputs[16:] == half).all())
        ((32, 2, 3), 'int32', True)
    """
    whole("index", index, minimum=0)
    _check_request(dataset, batch, seed, input_shape, part)
    rows = _samples_of_batch(index, batch, seed, len(dataset.train_labels))
    rows = rows if part is None else rows[part]
    return dataset.standardised(dataset.train_inputs[rows], input_shape), dataset.train_labels[rows]


def batches(
    dataset: Dataset,
    batch: int,
    *,
    input_shape: Sequence[int],
    seed: int,
    start: int = 0,
    part: slice | None = None,
) -> Iterator[tuple[NDArray[np.float32], Labels]]:
    """Return the batches from number ``start`` on, without end; each is what ``batch_at`` returns.

    Args:
        dataset: What to draw from.
        batch: Samples a batch.
        input_shape: Shape of a sample as the network takes it, with as many elements as the dataset's.
        seed: Of the orders.
        start: Number of the first batch.
        part: Which samples of each batch to return; None for all.

    Raises:
        UnitError: A number is out of its range, the shape has another number of elements, or the part is empty.

    Example:
        >>> data = synthetic((6,), classes=3, train=100, test=10)
        >>> inputs, labels = next(batches(data, 32, input_shape=(6,), seed=1))
        >>> inputs.shape, labels.shape
        ((32, 6), (32,))
    """
    # Now, not at the first batch.
    _check_request(dataset, batch, seed, input_shape, part)
    numbers = itertools.count(whole("start", start, minimum=0))
    return (batch_at(dataset, index, batch, seed, input_shape, part) for index in numbers)
