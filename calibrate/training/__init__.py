"""Training steps whose duration is measured."""
