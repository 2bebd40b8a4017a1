"""The offline report: one page that holds an answer, its figures, and the formulas themselves, as JavaScript.

``answer.report("report.html")`` writes it, ``explore("resnet34")`` writes its sliders alone and opens them.
"""

from speedup.report.explorer import explore
from speedup.report.page import write_explorer, write_report

__all__ = ["explore", "write_explorer", "write_report"]
