"""Figure 12: schedules of drop rates, augmentation and Cutout on ResNet18."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import schedules
from figures.drawing.schedules import Panel
from toy.records import Record

NEEDS = ("cifar-resnet18",)
MAKE = "python -m deep cifar-resnet18"
PANELS = (
    Panel("cifar-resnet18", "rates", "(a) drop rates"),
    Panel("cifar-resnet18", "strengths", "(b) augmentation"),
    Panel("cifar-resnet18", "cutout", "(c) Cutout"),
)


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return schedules.shown(PANELS, records)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return schedules.draw(PANELS, records, "Figure 12. ResNet18 on CIFAR-10 (H.2.3).")
