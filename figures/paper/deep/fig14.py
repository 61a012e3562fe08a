"""Figure 14: the MLP's input drop rate from several starts: (a) Δ-STN, (b) STN; dashed, grid search's best rate."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.drawing import style
from figures.reading.trained import GRID, at_best, chosen, lacking, mean, method, replicas, setting_of
from reference.console.records import Record

NEEDS = ("mnist-dropout-schedule",)
METHODS = ("Δ-STN", "STN")
MAKE = "python -m deep mnist-dropout-schedule --method stn delta-stn --start 0.05 0.3 0.5 0.7"
RATE = "drop_input"


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are drawn: runs that differ in their start alone, and grid searches beside them."""
    runs = chosen(records, NEEDS[0], METHODS, ("start",))
    searches = chosen(records, NEEDS[0], (GRID,))
    return [*runs, *(run for run in searches if runs and run.settings["size"] == runs[0].settings["size"])]


def draw(records: Sequence[Record]) -> Figure:
    """The picture."""
    every = shown(records)
    runs, searches = [record for record in every if method(record) != GRID], replicas(every, GRID)
    starts = sorted({start(run) for run in runs})
    names = [name for name in METHODS if replicas(runs, name)]
    with mpl.rc_context(style.RC):
        figure = style.new_figure(2.9)
        row = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for i, (axes, name) in enumerate(zip(row, names, strict=True)):
            draw_method(axes, replicas(runs, name), starts)
            for search in searches:
                axes.axhline(at_best(search, RATE), gid="grid search", linewidth=0.8, **style.EXACT)
            axes.set(title=f"({'ab'[i]}) {name}", xlabel="epoch")
        row[0].set_ylabel("input drop rate")
        ends = "; ".join(f"{name} ends at {spread(replicas(runs, name))}" for name in names)
        words = f"{setting_of(runs)}{lacking(runs, METHODS)}. Means over the seeds: {ends}."
        return style.finish(figure, handles(starts, searches), f"Figure 14. The MLP's input drop rate (I.1). {words}")


def draw_method(axes: Axes, records: Sequence[Record], starts: Sequence[float]) -> None:
    """A colour for each start; thin lines for seeds, thick ones for their means."""
    for begin, runs in by_start(records).items():
        curves = [(run.history["epoch"], run.history[RATE]) for run in runs]
        look: dict[str, Any] = {"color": colour(starts, begin)}
        for curve in curves:
            axes.plot(*curve, linewidth=0.4, alpha=0.4, gid=f"{begin}: seed", **look)
        axes.plot(*mean(curves), linewidth=1.4, gid=f"{begin}: mean", **look)
    axes.set_xlim(0, max(run.history["epoch"][-1] for run in records))
    axes.set_ylim(0, 1)


def start(run: Record) -> float:
    """Where the rate began, free of rounding."""
    return round(float(run.history[RATE][0]), 4)


def by_start(records: Sequence[Record]) -> dict[float, list[Record]]:
    """Start -> its runs; of two of one seed, the last."""
    by_key = {(start(run), run.settings["seed"]): run for run in records}
    return {begin: [run for key, run in by_key.items() if key[0] == begin] for begin in sorted({b for b, _ in by_key})}


def spread(records: Sequence[Record]) -> str:
    """From where to where the starts' means end."""
    ends = [np.mean([run.history[RATE][-1] for run in runs]) for runs in by_start(records).values()]
    return f"{min(ends):.2f} to {max(ends):.2f} from {len(ends)} starts" if len(ends) > 1 else f"{ends[0]:.2f}"


def colour(starts: Sequence[float], begin: float) -> Any:
    """From dark to light with the start."""
    return mpl.colormaps["viridis"](0.88 * starts.index(begin) / max(len(starts) - 1, 1))


def handles(starts: Sequence[float], searches: Sequence[Record]) -> list[Line2D]:
    """What the legend shows."""
    lines = [Line2D([], [], color=colour(starts, rate), linewidth=1.4, label=f"from {rate:g}") for rate in starts]
    best = [Line2D([], [], linewidth=0.8, label="best fixed rate (grid search)", **style.EXACT)]
    return [*lines, *(best if searches else [])]
