"""The server's link as a queue: throughput, iterations and runs when times vary, in microseconds to milliseconds.

Recursions and approximations that are no single formula; the closed forms are in ``speedup.formulas.queueing``.
"""

from speedup.queueing.iterations import central_iterations, distributed_iterations
from speedup.queueing.mva import (
    Throughputs,
    bard_schweitzer_throughput,
    machine_repairman_throughput,
    multiclass_throughput,
    mva_throughput,
    shared_stations_throughput,
    stations_throughput,
)
from speedup.queueing.rates import distributed_throughput, excess_delay, fair_throughput, semaphore_throughput
from speedup.queueing.runs import central_run_s, distributed_run_s
from speedup.queueing.serving import served_bound, served_throughput, visit_s
from speedup.queueing.staleness import stale_rate
from speedup.queueing.stragglers import async_rate, join_s, kth_s, local_steps_law, slowest_s, split_s

__all__ = [
    "Throughputs",
    "async_rate",
    "bard_schweitzer_throughput",
    "central_iterations",
    "central_run_s",
    "distributed_iterations",
    "distributed_run_s",
    "distributed_throughput",
    "excess_delay",
    "fair_throughput",
    "join_s",
    "kth_s",
    "local_steps_law",
    "machine_repairman_throughput",
    "multiclass_throughput",
    "mva_throughput",
    "semaphore_throughput",
    "served_bound",
    "served_throughput",
    "shared_stations_throughput",
    "slowest_s",
    "split_s",
    "stale_rate",
    "stations_throughput",
    "visit_s",
]
