"""Data-parallel training by real processes over real links, as the plans say it."""
