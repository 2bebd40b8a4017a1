"""The restated figures are complete, and say where they come from."""

import csv
from pathlib import Path

import numpy as np
import pytest

from speedup.published.records import data_folder, mxnet_grid, pollux_aws, scaling_series
from speedup.published.sources import SCALING_SOURCES, SOURCES

ROOT = Path(__file__).parents[2]
FILES = {"scaling": 212, "pollux_aws": 7103, "mxnet_grid": 402}


def rows_of(name):
    with (data_folder() / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("name", FILES)
def test_a_table_has_all_its_rows_each_once_and_no_empty_cell(name):
    rows = rows_of(name)
    assert len(rows) == FILES[name]
    empty = {(row.get("source"), column) for row in rows for column, cell in row.items() if not cell}
    assert empty <= {("cm-dare", "bandwidth_bit_s")}
    if name != "pollux_aws":
        keys = [tuple(cell for column, cell in row.items() if column not in {"throughput", "unit"}) for row in rows]
        assert len(set(keys)) == len(keys)


def test_the_files_are_small_and_ours():
    sizes = {path.name: path.stat().st_size for path in data_folder().glob("*.csv")}
    assert set(sizes) == {f"{name}.csv" for name in FILES}
    assert max(sizes.values()) < 400_000
    for name in FILES:
        assert not {"id", "notes", "speedup", "series_id"} & set(rows_of(name)[0])


def test_every_source_is_cited_in_the_readme_with_its_commit():
    text = (ROOT / "data" / "published" / "README.md").read_text()
    for source in SOURCES.values():
        assert f"`{source.key}`" in text
        assert source.licence in text
        if "@" in source.place:
            assert source.place.split(",")[0].split()[0] in text
    used = {series.source for series in scaling_series()}
    assert used == {*SCALING_SOURCES, "cm-dare"} <= set(SOURCES)


def test_a_series_has_one_full_machine_and_runs_between_machines():
    for series in scaling_series():
        assert series.machine_step_s > 0
        assert 0 < series.alone_step_s <= series.machine_step_s
        assert len(series.between) >= 3
        assert (series.between.servers > 0).all() == (series.kind != "allreduce")
        assert np.isfinite(series.bandwidth_bytes_s) == (series.kind != "async-central")


def test_printed_figures_are_found_again():
    alexnet = next(series for series in scaling_series() if series.name == "p2-alexnet")
    # 256 K80 of the README's table: 61938.36 images/s in batches of 512.
    assert 256 * 512 / alexnet.runs.step_s[-1] == pytest.approx(61938.36)
    bert = pollux_aws()["bert"]
    assert bert.step_s[(bert.workers == 1) & (bert.batch == 4)].tolist() == [0.455324]
    grid = mxnet_grid()["resnet-50"]
    one = (grid.workers == 1) & (grid.servers == 1)
    assert 32 / grid.step_s[one] == pytest.approx(15.783)


def test_placements_of_the_traces_fit_their_machines():
    for runs in pollux_aws().values():
        assert (runs.fullest <= 4).all()
        assert (runs.fullest * runs.machines >= runs.workers).all()
        assert (runs.fullest >= np.ceil(runs.workers / runs.machines)).all()


def test_loaded_figures_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        pollux_aws()["bert"].step_s[0] = 1.0
