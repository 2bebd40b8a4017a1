"""Two profiles of one network on one device: what changed, and whether it shows."""

import json
from dataclasses import replace

import numpy as np
import pytest

from speedup import Device, Profile, Timing, Workload
from speedup.cli import run
from speedup.comparison import Verdict, compare
from speedup.errors import ProfileError, UnknownNameError
from speedup.profile import Provenance, StepCost


def timing(batch, seconds, doubt=0.02, samples=()):
    return Timing(
        median_s=seconds,
        low_s=seconds * (1 - doubt),
        high_s=seconds * (1 + doubt),
        level=0.95,
        samples_s=tuple(samples),
        batch=batch,
        provenance=Provenance.MEASURED,
    )


def profile(times, **changes):
    """A profile with a timing at each batch size of ``times``, the first of which is the workload's."""
    facts = {
        "name": "mlp",
        "workload": Workload(architecture="mlp", tensor_elements=(235200, 300), batch=next(iter(times))),
        "t_grad": tuple(one if isinstance(one, Timing) else timing(batch, one) for batch, one in times.items()),
        "device": Device(platform="gpu", name="A device"),
    }
    return Profile(**{**facts, **changes})


@pytest.mark.parametrize(
    ("seconds", "verdict"),
    [(0.09, Verdict.FASTER), (0.11, Verdict.SLOWER), (0.102, Verdict.NONE_SEEN), (0.1, Verdict.NONE_SEEN)],
)
def test_the_second_is_called_faster_or_slower_only_where_the_interval_leaves_out_1(seconds, verdict):
    (row,) = compare(profile({16: 0.1}), profile({16: seconds})).rows
    assert (row.verdict, row.ratio) == (verdict, pytest.approx(seconds / 0.1))
    assert row.low < row.ratio < row.high
    assert row.high / row.ratio == pytest.approx(np.exp(np.hypot(np.log(1.02), np.log(0.98))), rel=1e-3)


def test_without_an_interval_nothing_is_said():
    bare = Timing(median_s=0.1, batch=16, provenance=Provenance.PUBLISHED)
    (row,) = compare(profile({16: bare}), profile({16: 0.2})).rows
    assert (row.verdict, row.low, row.high) == ("no interval", None, None)
    assert "no interval" in str(compare(profile({16: bare}), profile({16: 0.2})))


def drifting(seed, centre, count=60):
    """Samples that wander, as those of a shared machine do."""
    random = np.random.default_rng(seed)
    walk = np.convolve(random.standard_normal(count + 20), np.ones(20) / 20, "valid")[:count]
    return centre * np.exp(0.1 * walk)


def from_samples(*series):
    """The comparison of two series of samples whose medians claim to be known exactly."""
    return compare(*(profile({16: timing(16, float(np.median(one)), 1e-9, one)}) for one in series)).rows[0]


def test_samples_that_wander_give_a_wider_interval_than_the_same_ones_shuffled():
    series = [drifting(seed, 0.1) for seed in (1, 2)]
    row = from_samples(*series)
    shuffled = from_samples(*(np.random.default_rng(0).permutation(one) for one in series))
    assert np.log(row.high / row.low) > 1.3 * np.log(shuffled.high / shuffled.low)
    assert row == from_samples(*series)


def test_too_few_samples_leave_the_interval_to_the_timings():
    row = from_samples((0.1, 0.2, 0.3), (0.1, 0.2, 0.3))
    assert row.high / row.low == pytest.approx(1, abs=1e-6)


def test_the_bootstrap_of_blocks_calls_equal_devices_different_seldom():
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(100):
        pair = [0.1 * np.exp(0.05 * random.standard_normal(40)) for _ in range(2)]
        wrong += from_samples(*pair).verdict is not Verdict.NONE_SEEN
    assert wrong <= 12


def test_batch_sizes_that_one_of_two_sweeps_lacks_are_compared_through_its_fit():
    sizes = (8, 16, 32, 64)
    one = profile({size: 0.01 + 0.001 * size for size in sizes})
    other = profile({size: 2 * (0.01 + 0.001 * size) for size in (8, 24, 64, 256)})
    rows = {row.batch: row for row in compare(one, other).rows}
    assert list(rows) == [8, 16, 24, 32, 64, 256]
    assert (rows[24].a_provenance, rows[24].b_provenance) == ("fitted", "measured")
    assert rows[24].ratio == pytest.approx(2)
    assert [row.batch for row in rows.values() if row.extrapolated] == [256]
    assert {row.verdict for row in rows.values()} == {Verdict.SLOWER}
    assert "measured and fitted" in str(compare(one, other))


def test_without_a_sweep_only_common_batch_sizes_are_compared():
    rows = compare(profile({8: 0.1, 16: 0.2, 32: 0.4}), profile({16: 0.2})).rows
    assert [row.batch for row in rows] == [16]
    with pytest.raises(ProfileError, match=r'"mlp" and "mlp" have no batch size in common \(\[8, 32\] and \[16\]\)'):
        compare(profile({8: 0.1, 32: 0.4}), profile({16: 0.2}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": Device(platform="cpu", name="A device")}, "platform gpu against cpu"),
        ({"device": Device(platform="gpu", name="Another")}, "device A device against Another"),
        ({"device": Device(platform="gpu", name="A device", cores=4)}, "cores not stated against 4"),
        ({"workload": Workload(architecture="cnn", tensor_elements=(9,), batch=16)}, "architecture mlp against cnn"),
    ],
)
def test_other_devices_and_other_networks_are_refused_with_both_values(change, said):
    with pytest.raises(ProfileError, match=said):
        compare(profile({16: 0.1}), profile({16: 0.1}, **change))


def test_what_differs_in_workload_costs_and_environment_is_listed():
    kept = {"version_jax": "0.10.2", "load_1min": 0.1, "cpu_mhz": 2100.0, "memory_available_bytes": 5, "seed": 0}
    one = profile({16: 0.1}, costs=(StepCost(batch=16, optimizer_state_bytes=0, update_s=0.001),), environment=kept)
    other = profile(
        {16: 0.1},
        workload=replace(one.workload, algorithm="adam", precision="bfloat16"),
        costs=(StepCost(batch=16, optimizer_state_bytes=1_884_000, update_s=0.002),),
        environment={
            **kept,
            "version_jax": "0.11.0",
            "load_1min": 2.5,
            "memory_available_bytes": 9,
            "env_XLA_FLAGS": "x",
        },
        warnings=("t_grad drifts.",),
    )
    found = compare(one, other)
    assert [str(difference) for difference in (*found.workload, *found.costs, *found.environment)] == [
        "algorithm: sgd -> adam",
        "precision: float32 -> bfloat16",
        "optimizer_state_bytes (batch 16): 0 B -> 1.88 MB",
        "update_s (batch 16): 1 ms -> 2 ms",
        "version_jax: 0.10.2 -> 0.11.0",
        "env_XLA_FLAGS: not stated -> x",
    ]
    assert found.warnings == (
        "versions differ (version_jax): a difference of t_grad may be theirs.",
        "b: t_grad drifts.",
    )


def test_clocks_that_differ_are_warned_of():
    clocks = [profile({16: 0.1}, environment={"cpu_mhz": mhz}) for mhz in (2100.0, 3300.0)]
    assert compare(*clocks).warnings == ("clocks differ (cpu_mhz): a difference of t_grad may be theirs.",)


def test_text_json_and_dictionary_say_the_same(tmp_path):
    paths = [
        profile({16: seconds}, created=day).save(tmp_path / f"{day}.json")
        for seconds, day in ((0.1, "2026-01-01"), (0.08, "2026-01-02"))
    ]
    found = compare(*paths)
    document = json.loads(found.to_json())
    assert document == json.loads(json.dumps(found.to_dict()))
    assert document["schema"] == "speedup.comparison/1"
    assert document["rows"][0]["verdict"] == "faster"
    lines = str(found).splitlines()
    assert lines[:3] == ["mlp on A device", "a = mlp, 2026-01-01", "b = mlp, 2026-01-02"]
    assert lines[5].split() == ["16", "100", "ms", "80", "ms", "0.8", "[0.778,", "0.823]", "faster", "measured"]


def test_the_command_prints_what_the_library_returns(tmp_path, capsys):
    path = str(profile({16: 0.1}).save(tmp_path / "lab.json"))
    assert run(["compare", path, path]) == 0
    assert capsys.readouterr().out == f"{compare(path, path)}\n"
    assert run(["compare", path, path, "--json"]) == 0
    assert capsys.readouterr().out == f"{compare(path, path).to_json()}\n"
    assert run(["compare", path, "squeezenet-xeon-b16"]) == 3
    assert "cannot be compared: platform gpu against cpu" in capsys.readouterr().err
    with pytest.raises(UnknownNameError):
        compare(path, "nobody")
