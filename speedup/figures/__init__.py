"""Figures of results: Plotly, one template, readable without colour, nothing loaded from a network.

Each function takes a result and returns a ``go.Figure``, to change or save:

    >>> import speedup
    >>> from speedup.figures import speedup_figure
    >>> answer = speedup.recommend("squeezenet")
    >>> speedup_figure(answer.table, choice=answer.choice).layout.yaxis.title.text
    'speedup S'

``answer.plot()`` is the same.
"""

from speedup.figures.accuracy import accuracy_figure
from speedup.figures.curves import efficiency_figure, speedup_figure
from speedup.figures.front import front_figure
from speedup.figures.gantt import gantt_figure, save_trace, spans
from speedup.figures.gradient import gradient_time_figure
from speedup.figures.limits import limits_figure
from speedup.figures.noise import noise_scale_figure
from speedup.figures.phases import phases_figure
from speedup.figures.saving import save_figure
from speedup.figures.servers import servers_figure
from speedup.figures.template import CONFIG, DARK, TEMPLATE

__all__ = [
    "CONFIG",
    "DARK",
    "TEMPLATE",
    "accuracy_figure",
    "efficiency_figure",
    "front_figure",
    "gantt_figure",
    "gradient_time_figure",
    "limits_figure",
    "noise_scale_figure",
    "phases_figure",
    "save_figure",
    "save_trace",
    "servers_figure",
    "spans",
    "speedup_figure",
]
