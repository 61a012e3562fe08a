"""Figure b3, beyond the paper: what the structure of Eqn. 3.14 costs in the hypergradient, as λ become many.

Thick lines: 100 random features; thin ones with crosses: 1000, where nothing is trained.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures.drawing import style
from reference.console.records import Record
from toy.beyond import structure

NEEDS = (structure.EXPERIMENT,)
DATA = ("diabetes", "concrete", "abalone")

LOOKS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "full": ("full Θ, trained", {"color": style.LINES["Δ-STN"]["color"]}),
    "structured": ("one unit, trained", {"color": style.LINES["STN"]["color"], "linestyle": (0, (4, 1))}),
    "loss": ("one unit, least loss (3.10)", style.EXACT),
    "frobenius": ("one unit, nearest to Θ*", {"color": "0.55", "linestyle": (0, (1.2, 0.8))}),
    "rate_loss": ("drop rates: one unit, least loss", {"color": style.HUES[6], "linestyle": (0, (3, 2))}),
}
MEASURES = {"error": "relative error", "cosine": "cosine", "sign": "signs that agree"}


def pending(root: Path) -> list[structure.Job]:
    """What must be measured before it can be drawn."""
    return structure.pending(DATA, root)


def draw(records: Sequence[Record]) -> Figure:
    """The picture: a column for each data set, a row for each measure."""
    names = [name for name in DATA if any(record.settings["data"] == name for record in records)]
    with mpl.rc_context(style.RC):
        figure = style.new_figure(5.4)
        grid = figure.subplots(len(MEASURES), len(names), squeeze=False, sharex=True, sharey="row")
        for column, name in enumerate(names):
            mine = [record for record in records if record.settings["data"] == name]
            for row, measure in enumerate(MEASURES):
                draw_panel(grid[row][column], mine, measure)
            grid[0][column].set_title(name)
            grid[-1][column].set_xlabel("hyperparameters, h")
        for row, words in zip(grid, MEASURES.values(), strict=True):
            row[0].set_ylabel(words)
        lines = [Line2D([], [], label=label, linewidth=1.4, **look) for label, look in LOOKS.values()]
        style.legend(figure, lines, 3)
        return style.finish(figure, [], caption(records))


def draw_panel(axes: Axes, records: Sequence[Record], measure: str) -> None:
    """A line for each response and number of features."""
    for record in records:
        trained = record.settings["training"] is not None
        for name, (_, look) in LOOKS.items():
            column = f"{name}_{measure}"
            if column in record.history:
                marks = {"linewidth": 1.4} if trained else {"linewidth": 0.7, "marker": "x", "markersize": 3.5}
                gid = f"{name}: {record.settings['width']}"
                axes.plot(record.history["h"], record.history[column], gid=gid, **marks, **look)
    axes.set_xscale("log")
    axes.grid(True)
    axes.set_axisbelow(True)
    if measure == "sign":
        axes.axhline(0.5, color="0.7", linewidth=0.6, gid="chance")
        axes.set_ylim(0, 1.05)


def caption(records: Sequence[Record]) -> str:
    """What was done, from the records' settings."""
    penalty, rate, seed = (records[0].settings[name] for name in ("penalty", "rate", "seed"))
    training = next(share for record in records if (share := record.settings["training"]) is not None)
    widths = sorted({record.settings["width"] for record in records})
    return (
        "Figure b3. The hypergradient of h penalties, or h drop rates, through one output unit's structured response "
        f"(3.14: a Jacobian of rank one) against the exact one, at one λ, penalties {penalty:g} or rates {rate:g}, "
        f"w0 = r(λ), and on one split, seed {seed}. "
        f"{' (thick) and '.join(map(str, widths))} random features{' (thin)' if len(widths) > 1 else ''}; nothing is "
        f"trained for rates{f', nor with {widths[-1]} features' if len(widths) > 1 else ''}. "
        f"Trained by Δ-STN: {training['steps']} steps, σ = {training['sigma']:g}, the best of "
        f"{len(structure.RATES)} step sizes for the unit. Grey, level: signs at random."
    )
