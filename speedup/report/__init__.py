"""The offline report: one page that holds an answer, its figures, and the formulas themselves, as JavaScript."""
