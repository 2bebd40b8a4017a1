"""Files that are whole are read, files that are not are refused by name, and a batch is a function of its number."""

import gzip
import hashlib
import io
import itertools
import lzma
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from calibrate import datasets
from calibrate.architectures import ARCHITECTURES
from calibrate.datasets import DatasetError, batch_at, batches, load_dataset, read_idx, synthetic
from speedup.errors import UnitError, UnknownNameError

IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
CIFAR = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
PUBLISHED_MD5 = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion-mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}

byte_arrays = npst.arrays(np.uint8, npst.array_shapes(min_dims=1, max_dims=4, max_side=6))


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


def records(labels, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    return np.concatenate([np.asarray(labels, np.uint8)[:, None], pixels], axis=1).tobytes()


def register(monkeypatch, name, contents):
    """Take made-up contents for those that are distributed."""
    digests = tuple(hashlib.sha1(content).hexdigest() for content in contents)
    monkeypatch.setattr(datasets, "_SHA1", {**datasets._SHA1, name: digests})


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    random = np.random.default_rng(1)
    arrays = [
        random.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        random.integers(0, 10, 30, dtype=np.uint8),
        random.integers(0, 256, (10, 28, 28), dtype=np.uint8),
        random.integers(0, 10, 10, dtype=np.uint8),
    ]
    contents = [idx(array) for array in arrays]
    register(monkeypatch, "mnist", contents)
    for file, content in zip(IDX, contents, strict=True):
        (tmp_path / file).write_bytes(content)
    return tmp_path, arrays


@pytest.fixture
def small_cifar(monkeypatch):
    contents = [records([number, 9], seed=number) for number in range(6)]
    register(monkeypatch, "cifar10", contents)
    return contents


@given(byte_arrays, st.booleans())
def test_an_idx_file_gives_back_the_array_written_into_it(tmp_path_factory, array, packed):
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if packed else "file")
    path.write_bytes(gzip.compress(idx(array), 1) if packed else idx(array))
    found = read_idx(path)
    assert found.shape == array.shape
    assert (found == array).all()


@given(byte_arrays, st.data(), st.booleans())
def test_an_idx_file_cut_off_anywhere_is_refused_by_name(tmp_path_factory, array, data, packed):
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if packed else "file")
    whole = gzip.compress(idx(array), 1) if packed else idx(array)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(DatasetError, match="file") as caught:
        read_idx(path)
    assert "et it again" in str(caught.value)


def test_the_error_of_a_cut_off_file_says_how_much_there_is_and_should_be(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx(np.zeros(100, np.uint8))[:-7])
    with pytest.raises(DatasetError, match=r"labels has 101 bytes of content; its header says 108, for shape \(100,\)"):
        read_idx(path)


def test_a_gz_file_damaged_inside_is_refused(tmp_path):
    path = tmp_path / "images.gz"
    packed = bytearray(gzip.compress(idx(np.arange(200, dtype=np.uint8))))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises(DatasetError, match=r"images\.gz"):
        read_idx(path)


def test_a_file_of_something_else_is_no_idx_file(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(DatasetError, match="begins with 3c 68 74 6d"):
        read_idx(path)


def test_a_file_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(DatasetError, match="nothing cannot be read: No such file"):
        read_idx(tmp_path / "nothing")


@pytest.mark.parametrize("place", [".", "mnist", "MNIST/raw"])
def test_idx_files_lie_in_the_folder_or_in_one_called_after_the_dataset(small_mnist, tmp_path, place):
    folder, arrays = small_mnist
    (tmp_path / "data" / place).mkdir(parents=True)
    for file in IDX:
        (folder / file).rename(tmp_path / "data" / place / file)
    found = load_dataset("mnist", tmp_path / "data")
    assert (found.train_inputs == arrays[0][..., None]).all()
    assert (found.train_labels == arrays[1]).all()
    assert (found.test_inputs == arrays[2][..., None]).all()
    assert (found.test_labels == arrays[3]).all()
    assert (found.train_inputs.dtype, found.train_labels.dtype) == (np.uint8, np.int32)
    assert (found.name, found.classes, found.note) == ("mnist", 10, "")


def test_plain_files_and_gz_files_mix(small_mnist):
    folder, arrays = small_mnist
    plain = folder / IDX[0]
    (folder / f"{IDX[0]}.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert (load_dataset("MNIST", folder).train_inputs[..., 0] == arrays[0]).all()


def test_the_folder_may_come_from_the_environment(small_mnist, monkeypatch):
    monkeypatch.setenv("SPEEDUP_DATA", str(small_mnist[0]))
    assert len(load_dataset("mnist").train_labels) == 30


def test_without_a_folder_the_error_says_which_files_and_where_to_name_them(monkeypatch):
    monkeypatch.delenv("SPEEDUP_DATA", raising=False)
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte.*SPEEDUP_DATA"):
        load_dataset("fashion_mnist")


@pytest.mark.parametrize(("name", "wanted"), [("mnist", IDX), ("cifar10", (*CIFAR, "cifar-10-binary.tar.gz"))])
def test_missing_files_are_named_with_the_places_looked_in(tmp_path, name, wanted):
    with pytest.raises(DatasetError) as caught:
        load_dataset(name, tmp_path)
    assert all(file in str(caught.value) for file in wanted)
    assert str(tmp_path / name) in str(caught.value)
    assert caught.value.exit_code == 3


def test_another_datasets_files_are_refused_although_they_have_the_same_names(small_mnist):
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte is not the file that is distributed.*SHA-1"):
        load_dataset("fashion_mnist", small_mnist[0])


def test_one_wrong_byte_is_found(small_mnist):
    path = small_mnist[0] / IDX[3]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=IDX[3]):
        load_dataset("mnist", small_mnist[0])


def test_an_unknown_name_is_answered_with_the_known():
    with pytest.raises(UnknownNameError, match=r'Did you mean "cifar10"\? It is one of mnist, fashion_mnist, cifar10'):
        load_dataset("cifar100", ".")


def write_files(folder, contents):
    for file, content in zip(CIFAR, contents, strict=True):
        (folder / file).write_bytes(content)


def write_archive(folder, contents):
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for file, content in zip(CIFAR, contents, strict=True):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("write", [write_files, write_archive])
def test_cifar_10_is_read_from_its_six_files_or_their_archive(tmp_path, small_cifar, write):
    write(tmp_path, small_cifar)
    found = load_dataset("cifar10", tmp_path)
    assert found.train_labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert found.test_labels.tolist() == [5, 9]
    assert found.train_inputs.shape == (10, 32, 32, 3)
    # Row 3, column 5 of green of the second image of the third file.
    assert found.train_inputs[5, 3, 5, 1] == small_cifar[2][3073 + 1 + 1024 + 3 * 32 + 5]
    assert found.note == ""


def test_a_cut_off_archive_is_refused(tmp_path, small_cifar):
    write_archive(tmp_path, small_cifar)
    path = tmp_path / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(DatasetError, match=r"cifar-10-binary\.tar\.gz"):
        load_dataset("cifar10", tmp_path)


def test_a_missing_file_of_the_six_is_named(tmp_path, small_cifar):
    write_files(tmp_path, small_cifar)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DatasetError, match=r"only 5 of CIFAR-10's six files; data_batch_3\.bin is missing"):
        load_dataset("cifar10", tmp_path)


def test_a_file_of_part_of_a_record_is_refused(tmp_path, small_cifar):
    write_files(tmp_path, small_cifar)
    (tmp_path / "data_batch_2.bin").write_bytes(small_cifar[1][:-10])
    with pytest.raises(
        DatasetError, match=r"data_batch_2\.bin has 6136 bytes of content, 1 records .* 3063 bytes more"
    ):
        load_dataset("cifar10", tmp_path)


def test_a_label_that_is_none_is_found_with_its_record(tmp_path):
    for part, labels in (("train", [3, 4, 10]), ("test", [1])):
        content = lzma.compress(records(labels))
        (tmp_path / f"mine-{part}-first{len(labels)}.bin.xz").write_bytes(content)
    with pytest.raises(DatasetError, match="label 10 in record 2"):
        load_dataset("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("kind", "note"),
    [
        ("mine", "the first 3 training and 1 test images only"),
        (
            "my-jpeg75",
            "JPEG-degraded (quality 75), not CIFAR-10's own pixels; the first 3 training and 1 test images only",
        ),
    ],
)
def test_parts_of_cifar_10_say_what_they_are(tmp_path, kind, note):
    (tmp_path / f"{kind}-train-first3.bin.xz").write_bytes(lzma.compress(records([7, 8, 9])))
    (tmp_path / f"{kind}-test-first1.bin.xz").write_bytes(lzma.compress(records([6])))
    found = load_dataset("cifar10", tmp_path)
    assert (found.train_labels.tolist(), found.test_labels.tolist(), found.note) == ([7, 8, 9], [6], note)


def test_of_several_parts_of_cifar_10_true_pixels_come_first_and_a_pair_is_of_one_kind(tmp_path):
    for kind, part, labels in (
        ("a-jpeg75", "train", [1]),
        ("a-jpeg75", "test", [2]),
        ("lonely", "train", [3]),
        ("true", "train", [4]),
        ("true", "test", [5]),
    ):
        (tmp_path / f"{kind}-{part}-first1.bin.xz").write_bytes(lzma.compress(records(labels)))
    found = load_dataset("cifar10", tmp_path)
    assert (found.train_labels.tolist(), found.test_labels.tolist()) == ([4], [5])
    assert "JPEG" not in found.note


def test_a_part_with_fewer_records_than_its_name_says_is_refused(tmp_path):
    (tmp_path / "a-train-first4.bin.xz").write_bytes(lzma.compress(records([7, 8, 9])))
    (tmp_path / "a-test-first1.bin.xz").write_bytes(lzma.compress(records([6])))
    with pytest.raises(DatasetError, match="has 3 records; its name says 4"):
        load_dataset("cifar10", tmp_path)


def test_a_cut_off_xz_file_is_refused(tmp_path):
    (tmp_path / "a-train-first3.bin.xz").write_bytes(lzma.compress(records([7, 8, 9]))[:-100])
    (tmp_path / "a-test-first1.bin.xz").write_bytes(lzma.compress(records([6])))
    with pytest.raises(DatasetError, match=r"a-train-first3\.bin\.xz is cut off"):
        load_dataset("cifar10", tmp_path)


# The files as they are distributed, where they are.


@pytest.fixture(scope="module")
def folder():
    beside = Path(__file__).parents[2].parent / "shared" / "datasets"
    found = Path(os.environ.get("SPEEDUP_DATA", beside))
    if not found.is_dir():
        pytest.skip("no folder of datasets: SPEEDUP_DATA names none, and there is no ../shared/datasets")
    return found


def load_or_skip(name, folder):
    try:
        return load_dataset(name, folder)
    except DatasetError as error:
        if "not all of them are in any of" in str(error):
            pytest.skip(f"{name} is not in the folder of datasets")
        raise


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_the_contents_expected_are_those_of_the_files_with_the_published_checksums(folder, name):
    paths = [folder / name / f"{file}.gz" for file in IDX]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"{name} is not there as distributed")
    assert tuple(hashlib.md5(path.read_bytes()).hexdigest() for path in paths) == PUBLISHED_MD5[name]
    load_dataset(name, folder)


@pytest.mark.parametrize(
    ("name", "mean", "deviation", "first_counts"),
    [("mnist", 0.1307, 0.3081, [5923, 6742, 5958]), ("fashion_mnist", 0.2860, 0.3530, [6000, 6000, 6000])],
)
def test_mnist_and_fashion_mnist_have_their_known_statistics(folder, name, mean, deviation, first_counts):
    found = load_or_skip(name, folder)
    assert (found.train_inputs.shape, found.test_inputs.shape) == ((60000, 28, 28, 1), (10000, 28, 28, 1))
    assert np.bincount(found.train_labels).tolist()[:3] == first_counts
    assert found.moments[0] / 255 == pytest.approx(mean, abs=5e-5)
    assert found.moments[1] / 255 == pytest.approx(deviation, abs=5e-5)


def test_cifar_10_has_its_known_statistics_and_says_what_it_is(folder):
    found = load_or_skip("cifar10", folder)
    assert found.train_inputs.shape[1:] == found.test_inputs.shape[1:] == (32, 32, 3)
    assert found.moments[0] / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=3e-3)
    assert bool(found.note) == (len(found.train_labels) < 50000)


def test_a_digit_looks_like_a_digit(folder):
    # The first training image of MNIST is a 5; a mistaken order of the axes would transpose it.
    found = load_or_skip("mnist", folder)
    rows = ["".join("#" if value > 127 else "." for value in row) for row in found.train_inputs[0, 5:8, :, 0]]
    assert found.train_labels[0] == 5
    assert rows == [
        ".................##.###.....",
        "...........############.....",
        "........##########..........",
    ]


# Batches.

DATA = synthetic((6,), classes=3, train=50, test=10, seed=3)


@given(batch=st.integers(1, 130), index=st.integers(0, 50), seed=st.integers(0, 2**70))
def test_a_batch_is_a_function_of_its_number_and_the_seed(batch, index, seed):
    inputs, labels = next(batches(DATA, batch, input_shape=(6,), seed=seed, start=index))
    list(itertools.islice(batches(DATA, 7, input_shape=(6,), seed=seed + 1), 5))
    again, labels_again = batch_at(DATA, index, batch, seed, (6,))
    assert (inputs == again).all()
    assert (labels == labels_again).all()
    assert (inputs.dtype, labels.dtype, inputs.shape, labels.shape) == (np.float32, np.int32, (batch, 6), (batch,))


@given(batch=st.integers(1, 120), seed=st.integers(0, 100))
def test_every_epoch_has_every_sample_once(batch, seed):
    taken = list(itertools.islice(batches(DATA, batch, input_shape=(6,), seed=seed), -(-150 // batch)))
    rows = np.concatenate([inputs for inputs, _ in taken])[:150]
    everything = DATA.standardised(DATA.train_inputs, (6,))
    for epoch in rows.reshape(3, 50, 6):
        assert (np.sort(epoch[:, 0]) == np.sort(everything[:, 0])).all()


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = (batch_at(DATA, index, 50, 1, (6,))[0] for index in (0, 1))
    other = batch_at(DATA, 0, 50, 2, (6,))[0]
    assert not (first == second).all()
    assert not (first == other).all()


def test_labels_stay_with_their_samples():
    everything = {row.tobytes(): label for row, label in zip(DATA.train_inputs, DATA.train_labels, strict=True)}
    raw = datasets._samples_of_batch(3, 40, 9, 50)
    _, labels = batch_at(DATA, 3, 40, 9, (6,))
    assert [everything[DATA.train_inputs[row].tobytes()] for row in raw] == labels.tolist()


@given(workers=st.integers(1, 8), index=st.integers(0, 20))
def test_the_parts_of_a_batch_make_the_batch(workers, index):
    cuts = [32 * worker // workers for worker in range(workers + 1)]
    parts = [batch_at(DATA, index, 32, 5, (2, 3), part=slice(begin, end))[0] for begin, end in itertools.pairwise(cuts)]
    assert (np.concatenate(parts) == batch_at(DATA, index, 32, 5, (2, 3))[0]).all()


@settings(max_examples=30)
@given(npst.arrays(np.uint8, st.tuples(st.integers(1, 40), st.just(4), st.just(3), st.just(3))))
def test_training_inputs_are_standardised_channel_by_channel(images):
    labels = np.zeros(len(images), np.int32)
    data = datasets.Dataset("mine", images, labels, images, labels, 1)
    result = data.standardised(images, (4, 3, 3)).astype(np.float64)
    assert data.moments[0] == pytest.approx(images.mean(axis=(0, 1, 2)))
    assert data.moments[1] == pytest.approx(images.std(axis=(0, 1, 2)), abs=1e-6)
    assert result.mean(axis=(0, 1, 2)) == pytest.approx(0, abs=2e-3)
    moves = images.std(axis=(0, 1, 2)) > 0
    assert result.std(axis=(0, 1, 2))[moves] == pytest.approx(1, abs=2e-3)


def test_test_inputs_are_standardised_with_the_training_inputs_moments():
    data = synthetic((5,), classes=2, train=40, test=7)
    mean, deviation = data.moments
    expected = (data.test_inputs - mean) / deviation
    assert data.standardised(data.test_inputs, (5,)) == pytest.approx(expected, abs=1e-5)


def test_a_batch_fits_the_networks_of_its_size():
    data = synthetic((28, 28, 1), train=20, test=10)
    fitting = [entry for entry in ARCHITECTURES.values() if np.prod(entry.input_shape) == 784]
    assert len(fitting) >= 4
    for entry in fitting:
        assert batch_at(data, 0, 4, 0, entry.input_shape)[0].shape == (4, *entry.input_shape)


def test_a_shape_with_another_number_of_elements_is_refused_at_once():
    with pytest.raises(UnitError, match=r"input_shape = \(7,\) has 7 elements; a sample of synthetic has 6, \(6,\)"):
        batches(DATA, 4, input_shape=(7,), seed=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "batch = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"start": -1}, "start = -1"),
        ({"part": slice(4, 9)}, "leaves nothing of a batch of 4"),
    ],
)
def test_numbers_out_of_range_are_refused_at_once(wrong, message):
    with pytest.raises(UnitError, match=message):
        batches(DATA, **{"batch": 4, "input_shape": (6,), "seed": 0, **wrong})


# Fewer samples.


def test_fewer_samples_are_the_first_ones_and_those_held_out_come_after_them():
    data = synthetic((3,), train=50, test=10)
    part = data.limited(30, held_out=15)
    assert (part.train_inputs == data.train_inputs[:30]).all()
    assert (part.test_inputs == data.train_inputs[30:45]).all()
    assert (part.test_labels == data.train_labels[30:45]).all()
    assert "first 30 samples" in part.note
    assert "the 15 after them" in part.note


def test_what_is_not_held_out_is_trained_on():
    data = synthetic((3,), train=50, test=10)
    assert len(data.limited(held_out=20).train_labels) == 30
    whole = data.limited()
    assert (len(whole.train_labels), len(whole.test_labels), whole.note) == (50, 10, data.note)
    assert (data.limited(30).test_inputs == data.test_inputs).all()


@pytest.mark.parametrize(
    "options", [{"train_samples": 51}, {"train_samples": 40, "held_out": 11}, {"held_out": 50}, {"train_samples": 0}]
)
def test_more_samples_than_there_are_cannot_be_had(options):
    with pytest.raises(UnitError, match="train_samples = "):
        synthetic((3,), train=50, test=10).limited(**options)


# The problem that is made.


@pytest.mark.parametrize(("shape", "classes"), [((784,), 10), ((16, 16, 3), 4), ((2,), 2)])
def test_the_synthetic_problem_can_be_learned(shape, classes):
    data = synthetic(shape, classes, seed=2)
    flat = data.train_inputs.reshape(len(data.train_inputs), -1)
    centres = np.array([flat[data.train_labels == label].mean(axis=0) for label in range(classes)])
    tested = data.test_inputs.reshape(len(data.test_inputs), 1, -1)
    guess = np.square(tested - centres).sum(axis=2).argmin(axis=1)
    assert (guess == data.test_labels).mean() > 0.9


def test_the_synthetic_problem_depends_on_its_seed_alone():
    first, again, other = (synthetic((3,), seed=seed, train=20, test=5) for seed in (1, 1, 2))
    assert (first.train_inputs == again.train_inputs).all()
    assert (first.test_labels == again.test_labels).all()
    assert not (first.train_inputs == other.train_inputs).all()


def test_synthetic_says_that_it_is():
    assert synthetic((2,), train=5, test=5).note.startswith("synthetic")


def test_in_many_dimensions_two_classes_are_as_far_apart_as_asked_for():
    data = synthetic((784,), 10, train=5000, test=10, separation=20)
    centres = np.array([data.train_inputs[data.train_labels == label].mean(axis=0) for label in range(10)])
    distances = np.array([np.linalg.norm(one - other) for one, other in itertools.combinations(centres, 2)])
    assert distances == pytest.approx(20, rel=0.1)


def test_without_scikit_learn_the_digits_say_what_to_install(monkeypatch):
    import sys

    from speedup.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"speedup-toolkit\[digits\]"):
        load_dataset("digits")


def test_the_digits_keep_their_shades_and_leave_no_sample_out():
    data = load_dataset("Digits")
    assert len(data.train_labels) + len(data.test_labels) == 1797
    assert data.train_inputs.max() == 255
    assert set(data.test_labels.tolist()) == set(range(10))
    # Each pixel of the original is a square of three by three.
    inner = data.test_inputs[:, 2:26, 2:26, 0].reshape(-1, 8, 3, 8, 3)
    assert (inner == inner[:, :, :1, :, :1]).all()
