"""Figure 13: schedules of drop rates, and of AR and TAR, on the LSTM."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import schedules
from figures.drawing.schedules import Panel
from toy.records import Record

NEEDS = ("ptb-lstm",)
MAKE = "python -m deep ptb-lstm"
PANELS = (
    Panel("ptb-lstm", "rates", "drop rates"),
    Panel("ptb-lstm", "strengths", "activation regularisation"),
)


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return schedules.shown(PANELS, records)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return schedules.draw(PANELS, records, "Figure 13. LSTM (H.3).")
