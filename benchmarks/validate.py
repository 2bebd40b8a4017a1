"""How well do our models, and those of others, foretell measurements that other people published?

``speedup validate`` with the scores written to ``data/results``, from which docs/validation.md is made.

    python benchmarks/validate.py
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import record

from speedup.published.leaderboard import judge_all


def main() -> None:
    """Judge every model, print and write the scores."""
    board = judge_all(on_trial=lambda number, count, trial: print(f"{number}/{count} {trial.source}: {trial.split}"))
    print(board)
    print(f"wrote {record.write('validation', [asdict(score) for score in board.scores], ('numpy', 'scipy'))}")
    sys.exit(1 if board.broken else 0)


if __name__ == "__main__":
    main()
