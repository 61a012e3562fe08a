"""Figure 16: the best validation loss of Δ-STN at other update intervals T_train and T_valid, SimpleCNN."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.drawing import curves, style
from figures.reading.trained import best, chosen, setting_of
from reference.console.records import Record

NEEDS = ("sensitivity",)
METHOD = "Δ-STN"
MAKE = "python -m deep sensitivity --intervals 1:1 2:1 5:1 10:1 5:5"
T_TRAIN, T_VALID = 5, 1
"""5.2's, of runs that do not change them."""
LOOKS = [{"linestyle": "-", "marker": "o"}, {"linestyle": "--", "marker": "s"}, {"linestyle": ":", "marker": "^"}]


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn: those that differ in their intervals alone."""
    return chosen(records, NEEDS[0], (METHOD,), ("T_train", "T_valid"))


def draw(records: Sequence[Record]) -> Figure:
    """The picture: T_train at even distances, a line for each T_valid."""
    runs = shown(records)
    points = by_intervals(runs)
    places = {T_train: i for i, T_train in enumerate(sorted({T_train for T_train, _ in points}))}
    with mpl.rc_context(style.RC):
        figure = style.new_figure(2.8)
        axes = figure.subplots()
        looks = {T_valid: look(i) for i, T_valid in enumerate(sorted({T_valid for _, T_valid in points}))}
        for T_valid, line in looks.items():
            groups: dict[float, list[float]] = {
                places[T_train]: losses for (T_train, other), losses in points.items() if other == T_valid
            }
            curves.draw_points(axes, groups, f"T_valid = {T_valid}", **line)
        axes.set(xlabel="inner steps before the outer ones, $T_{train}$", ylabel="best validation loss")
        axes.set_xticks(list(places.values()), [str(T_train) for T_train in places])
        names = {T_valid: f"outer steps $T_{{valid}}$ = {T_valid}" for T_valid in looks}
        lines = [Line2D([], [], markersize=4, label=names[T_valid], **line) for T_valid, line in looks.items()]
        caption = f"Figure 16. {METHOD} on SimpleCNN (I.2). Mean over the seeds; bars from the least to the most. "
        return style.finish(figure, lines, f"{caption}{setting_of(runs)}.")


def look(i: int) -> dict[str, Any]:
    """The method's colour, dashes and marks of the line's own."""
    return {"color": style.LINES[METHOD]["color"], **LOOKS[i % len(LOOKS)]}


def by_intervals(records: Sequence[Record]) -> Mapping[tuple[int, int], list[float]]:
    """(T_train, T_valid) -> each seed's best validation loss; of two of one seed, the last."""
    losses = {(*intervals(run), run.settings["seed"]): best(run)[0] for run in records}
    pairs = sorted({key[:2] for key in losses})
    return {pair: [loss for key, loss in losses.items() if key[:2] == pair] for pair in pairs}


def intervals(run: Record) -> tuple[int, int]:
    """T_train and T_valid."""
    changes = run.settings["changes"]
    return changes.get("T_train", T_TRAIN), changes.get("T_valid", T_VALID)
