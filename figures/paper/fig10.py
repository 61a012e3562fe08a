"""Figure 10: schedules of drop rates on MNIST, and of drop rates and Cutout on FashionMNIST."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import schedules
from figures.drawing.schedules import Panel
from toy.records import Record

NEEDS = ("mnist-mlp", "fmnist-cnn")
MAKE = "python -m deep mnist-mlp and python -m deep fmnist-cnn"
PANELS = (
    Panel("mnist-mlp", "rates", "(a) MNIST: drop rates"),
    Panel("fmnist-cnn", "rates", "(b) FashionMNIST: drop rates"),
    Panel("fmnist-cnn", "cutout", "(c) FashionMNIST: Cutout"),
)


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return schedules.shown(PANELS, records)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return schedules.draw(PANELS, records, "Figure 10. MLP and SimpleCNN (H.2).")
