"""Restate figures that other people published, in our own layout.

It reads working copies, which are not part of this project, and writes ``scaling.csv``, ``pollux_aws.csv`` and
``mxnet_grid.csv`` beside itself: the figures that a model can be judged on, and nothing of the rest.

    python data/published/restate.py FOLDER
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from speedup.files import write_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = dict[str, str]
HERE = Path(__file__).parent
SOURCES = {
    "HKBU-HPML/ddl-benchmarks": "ddl-benchmarks",
    "apache/incubator-mxnet": "mxnet",
    "cake-lab/CM-DARE": "cm-dare",
    "ray-project/ray": "raysgd",
    "tensorflow/docs": "tensorflow",
}
# What the working copies call them; the rest of a name is the network's.
PREFIXES = {
    "ddl-benchmarks": "hkbu_10gbe_",
    "mxnet": "mxnet_",
    "cm-dare": "cmdare_",
    "raysgd": "raysgd_multi_",
    "tensorflow": "tf_awsdist_synth_",
}
POLLUX_NETWORKS = {
    "BERT-Base (SQuAD)": "bert",
    "DeepSpeech2 (BiRNN 5x800)": "deepspeech2",
    "NeuMF (MovieLens-1M)": "neumf",
    "ResNet-18 (CIFAR)": "resnet18",
    "ResNet-50": "resnet50",
    "YOLOv3": "yolov3",
}


def read(path: Path) -> list[Row]:
    """Return the rows of a working copy."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def whole(text: str) -> int:
    """Read a count, which may be written as 4.0."""
    return int(float(text))


def scaling(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Return series between machines, with their rows on one worker and on one full machine."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["series_id"], []).append(row)
    found = list[dict[str, object]]()
    for series in groups.values():
        between = [row for row in series if row["scope"] == "internode"]
        if between:
            found += [
                scaling_row(row, between[0])
                for row in series
                if row["scope"] == "internode" or row["workers"] in {"1", str(whole(row["gpus_per_node"]))}
            ]
    return sorted(found, key=lambda row: (row["source"], row["series"], row["workers"]))


def scaling_row(row: Row, typical: Row) -> dict[str, object]:
    """Return one figure; what belongs to the series comes from a row between machines."""
    source = next(key for name, key in SOURCES.items() if row["source"].startswith(name))
    bandwidth = row["bandwidth_gbps"]
    return {
        "series": row["series_id"].removeprefix(PREFIXES[source]).replace("_", "-"),
        "source": source,
        "network": row["model"],
        "kind": kind_of(typical),
        "overlap": (typical["overlap"].split() or ["unknown"])[0],
        "precision": row["precision"],
        "parameters": round(float(row["params_millions"]) * 1e6),
        "batch": whole(row["per_worker_batch"]),
        "bandwidth_bit_s": f"{float(bandwidth) * 1e9:.0f}" if bandwidth else "",
        "per_machine": whole(row["gpus_per_node"]),
        "workers": whole(row["workers"]),
        "machines": whole(row["nodes"]),
        # Inside a machine nothing crosses a network, but for an asynchronous server, which is another machine.
        "servers": whole(row["num_ps"] or "0") if row["scope"] == "internode" or row["sync"] == "async" else 0,
        "dedicated": "yes" if source in {"cm-dare", "ddl-benchmarks"} and typical["arch"] != "allreduce" else "no",
        "throughput": float(row["throughput"]),
        "unit": "steps/s" if row["unit"].startswith("steps") else "samples/s",
    }


def kind_of(row: Row) -> str:
    """Return how the gradients of a series meet."""
    if row["sync"] == "async":
        return "async-central"
    return "allreduce" if row["arch"] == "allreduce" else "sharded"


def fullest_of(placement: str, machines: int, workers: int) -> int:
    """Return the workers in the machine that has the most: ``1222`` counts them, ``4n12`` spreads 12 over 4."""
    return -(-workers // machines) if "n" in placement else max(map(int, placement))


def pollux(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Return steps of PyTorch's data-parallel training, one placement and batch a row."""
    found = [
        {
            "network": POLLUX_NETWORKS[row["model"]],
            "workers": int(row["workers"]),
            "machines": int(row["nodes"]),
            "fullest": fullest_of(row["placement"], int(row["nodes"]), int(row["workers"])),
            "batch": int(row["per_worker_batch"]),
            "step_s": float(row["step_time_s"]),
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: tuple(row.values()))


def grid(rows: Iterable[Row]) -> list[dict[str, object]]:
    """Return the grid of servers by workers, batches those of all workers together."""
    found = [
        {
            "network": row["model"],
            "batch": int(row["global_batch"]),
            "servers": int(row["num_ps"]),
            "workers": int(row["workers"]),
            "throughput": float(row["throughput"]),
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: tuple(row.values()))


def main() -> None:
    """Write the three files."""
    folder = Path(sys.argv[1])
    for name, copy, restate in (
        ("scaling", "published_scaling", scaling),
        ("pollux_aws", "pollux_aws_traces", pollux),
        ("mxnet_grid", "mxnet_ps_grid", grid),
    ):
        print(write_rows(HERE / f"{name}.csv", restate(read(folder / f"{copy}.csv"))))


if __name__ == "__main__":
    main()
