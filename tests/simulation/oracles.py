"""The same runs in two well-kept simulation libraries, on given times: what the compiled loops must equal."""

from __future__ import annotations

import ciw
import numpy as np
import simpy


def simpy_async(batches, grad, pull, push):
    """Return when each push ends, in order: asynchronous run, a semaphore a direction, one pool, tables (N, K)."""
    environment = simpy.Environment()
    down, up = simpy.Resource(environment), simpy.Resource(environment)
    left, ended = [batches], []

    def worker(own):
        turn = 0
        while left[0] > 0:
            left[0] -= 1
            with down.request() as guard:
                yield guard
                yield environment.timeout(pull[own, turn])
            yield environment.timeout(grad[own, turn])
            with up.request() as guard:
                yield guard
                yield environment.timeout(push[own, turn])
            ended.append(environment.now)
            turn += 1

    for own in range(len(grad)):
        environment.process(worker(own))
    environment.run()
    return np.array(ended)


def simpy_sync(batches, grad, pull, push):
    """Return the end of a sync-join run with a semaphore a direction."""
    environment = simpy.Environment()
    down, up = simpy.Resource(environment), simpy.Resource(environment)

    def one_batch(own, turn):
        with down.request() as guard:
            yield guard
            yield environment.timeout(pull[own, turn])
        yield environment.timeout(grad[own, turn])
        with up.request() as guard:
            yield guard
            yield environment.timeout(push[own, turn])

    def run():
        left, turn = batches, 0
        while left > 0:
            taking = min(left, len(grad))
            yield environment.all_of([environment.process(one_batch(own, turn)) for own in range(taking)])
            left, turn = left - taking, turn + 1

    environment.run(environment.process(run()))
    return environment.now


class _OfWorker(ciw.dists.Distribution):
    """The times of each worker in their order."""

    def __init__(self, table):
        self.table, self.turn = table, {}

    def sample(self, t=None, ind=None):
        own = ind.id_number - 1
        turn = self.turn.get(own, 0)
        self.turn[own] = turn + 1
        return self.table[own, turn]


def ciw_async(until_s, grad, pull, push, *, fair):
    """Return when each push before a time ends, in order: workers that go round for ever, as a queueing network."""
    workers = len(grad)
    node = ciw.PSNode if fair else ciw.Node
    link = float("inf") if fair else 1
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([0.0, float("inf")]), None, None],
        batching_distributions=[ciw.dists.Sequential([workers, 1]), None, None],
        service_distributions=[_OfWorker(pull), _OfWorker(grad), _OfWorker(push)],
        routing=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]],
        number_of_servers=[link, float("inf"), link],
    )
    simulation = ciw.Simulation(network, node_class=[node, ciw.Node, node])
    simulation.simulate_until_max_time(until_s)
    return np.sort([record.exit_date for record in simulation.get_all_records() if record.node == 3])
