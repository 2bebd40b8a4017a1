"""Timing: the sampler and its statistics, unfinished work, and the environment."""
