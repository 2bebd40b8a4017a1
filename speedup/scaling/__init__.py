"""Learning how a training scales from a few measured runs: models, their fits, and how far to trust them."""
