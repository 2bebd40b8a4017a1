"""One figure of every kind, from small results."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from speedup import Profile, Timing, estimate, recommend, simulate
from speedup.efficiency import NoiseScale
from speedup.figures import (
    accuracy_figure,
    efficiency_figure,
    front_figure,
    gantt_figure,
    gradient_time_figure,
    limits_figure,
    noise_scale_figure,
    phases_figure,
    servers_figure,
    speedup_figure,
)
from speedup.measured import Measured
from speedup.plans import Plan, ServerKind, UpdateMode
from speedup.profile import Phase

ROOT = Path(__file__).parents[1]


def swept():
    """Return a profile with four batch sizes, samples and intervals."""
    draws = np.random.default_rng(0)
    timings = []
    for batch in (8, 16, 32, 64):
        samples = (0.02 + 0.006 * batch) * (1 + 0.02 * draws.standard_normal(12))
        middle = float(np.median(samples))
        timings.append(
            Timing(
                median_s=middle,
                low_s=0.98 * middle,
                high_s=1.03 * middle,
                level=0.95,
                batch=batch,
                samples_s=tuple(map(float, samples)),
                provenance="measured",
            )
        )
    return replace(Profile.load("squeezenet-xeon-b16"), t_grad=tuple(timings))


def pruned():
    """Return a profile with phases."""
    dense = Profile.load("nardini_mlp-xeon-b128")
    phases = tuple(
        Phase(name=f"epoch {one}", batches=400, t_grad=dense.t_grad_timing, tensor_elements=(266_610 // one,))
        for one in (1, 2, 3)
    )
    return replace(dense, phases=phases)


def ran(workers, time_s, server=ServerKind.DISTRIBUTED):
    """Return a measured run of sync-join."""
    return Measured(
        plan=Plan(workers=workers, mode=UpdateMode.SYNC_JOIN, server=server),
        batches=128,
        time_s=time_s,
        t_grad_s=0.8,
        payload_bytes=1,
        compute="real",
        wire="w",
        engine="e",
        sent_bytes=1,
        counted_bytes=None,
    )


def runs():
    """Return runs of resnet34 at three counts, twice each."""
    return [ran(count, 100 / count**0.9 * off) for count in (1, 2, 4) for off in (0.99, 1.02)]


def answered():
    """Return a recommendation with a choice among intervals."""
    return recommend("resnet34", network="10gbit", max_workers=8, cv_grad=0.1)


def priced():
    """Return a recommendation with costs and refused plans."""
    return recommend("squeezenet", network="1gbit", price=2.5, objective="cost", deadline_s=60)


def traced():
    """Return a simulation that kept its trace."""
    return simulate(workers=3, batches=12, t_grad=1.0, t_comm=0.25, mode="sync-join", replications=1, trace=True)


def compared():
    """Return rows of predicted and measured times, with intervals."""
    return [
        {
            "server": server,
            "workers": count,
            "predicted_s": 10.0 / count,
            "predicted_low_s": 9.5 / count,
            "predicted_high_s": 10.5 / count,
            "measured_s": 10.3 / count,
        }
        for server in ("central", "distributed")
        for count in (1, 2, 4, 8)
    ]


def every_figure():
    """Return the figures by name."""
    answer = answered()
    many = estimate("resnet34", network="10gbit", workers=range(1, 65), latency_s=1e-4, shards=8)
    marked = {"choice": answer.choice, "measured": runs()}
    return {
        "speedup": speedup_figure(answer.table, **marked),
        "efficiency": efficiency_figure(answer.table, **marked),
        "many": speedup_figure(many, measured_up_to=8),
        "limits": limits_figure(answer.table, choice=answer.choice),
        "servers": servers_figure(many),
        "gantt": gantt_figure(traced()),
        "accuracy": accuracy_figure(compared()),
        "gradient": gradient_time_figure(swept()),
        "noise": noise_scale_figure(NoiseScale.assumed(500), batch=64),
        "phases": phases_figure(pruned()),
        "front": front_figure(priced()),
    }


def parts(figure, meta):
    """Return the traces that are of one kind."""
    return [trace for trace in figure.data if trace.meta == meta]


def numbers(figure):
    """Return a figure as plain JSON."""
    return json.loads(figure.to_json())
