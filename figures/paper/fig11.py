"""Figure 11: schedules of drop rates, augmentation and Cutout on VGG16."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from figures.drawing import schedules
from figures.drawing.schedules import Panel
from toy.records import Record

NEEDS = ("cifar-vgg16",)
MAKE = "python -m deep cifar-vgg16"
PANELS = (
    Panel("cifar-vgg16", "rates", "(a) drop rates"),
    Panel("cifar-vgg16", "strengths", "(b) augmentation"),
    Panel("cifar-vgg16", "cutout", "(c) Cutout"),
)


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn."""
    return schedules.shown(PANELS, records)


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    return schedules.draw(PANELS, records, "Figure 11. VGG16 on CIFAR-10 (H.2.3).")
