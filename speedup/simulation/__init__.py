"""A compiled simulation of the run, event by event: the judge of every formula, and the answer where none is safe."""

from speedup.simulation.run import Simulation, play, simulate
from speedup.simulation.scenario import Assignment, Scenario

__all__ = ["Assignment", "Scenario", "Simulation", "play", "simulate"]
