"""How every picture looks: a page's column wide, a colour and line for each of the paper's methods, readable in grey.

name      meaning
LINES     method's or variant's name -> its colour (Okabe and Ito's palette, told apart by the colour-blind) and dashes
HUES      for what is no method (Tol's muted palette)
EXACT     the exact optimum or response: black, dashed
"""

import io
import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure

BACKEND = ("backend", "backend_fallback", "interactive", "toolbar", "timezone", "date.epoch")
WIDTH = 7.0
"""Inches: a page's column."""

# All of matplotlib's own settings first: a person's matplotlibrc would draw another picture.
RC: dict[Any, Any] = {name: mpl.rcParamsDefault[name] for name in mpl.rcParamsDefault if name not in BACKEND} | {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "figures",
    # Sample points of a noisy line are all meant to be seen.
    "path.simplify": False,
}

LINES: dict[str, dict[str, Any]] = {
    "STN": {"color": "#D55E00", "linestyle": (0, (6, 1.2))},
    "Reparam STN": {"color": "#CC79A7", "linestyle": (0, (4, 1, 1, 1))},
    "Centered STN": {"color": "#009E73", "linestyle": (0, (1.2, 0.8))},
    "Δ-STN": {"color": "#0072B2", "linestyle": "-"},
    "Δ-STN CV": {"color": "#5D3A9B", "linestyle": (0, (8, 1.5, 1.5, 1.5))},
    "Δ-STN CV, σ = 0.3": {"color": "#56B4E9", "linestyle": (0, (3, 1))},
    "random search": {"color": "#7F7F7F", "linestyle": (0, (1.2, 1.6))},
    "Bayesian optimisation": {"color": "#E69F00", "linestyle": (0, (5, 1, 1.2, 1))},
}
HUES = ("#332288", "#88CCEE", "#117733", "#DDCC77", "#882255", "#44AA99", "#CC6677", "#999933", "#AA4499")
EXACT: dict[str, Any] = {"color": "black", "linestyle": (0, (3, 2))}
STAR: dict[str, Any] = {
    "marker": "*",
    "markersize": 12,
    "color": "#F0E442",
    "markeredgecolor": "black",
    "markeredgewidth": 0.6,
}

FORMATS = ("png", "pdf", "svg")
_NO_DATE: dict[str, dict[str, None]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def new_figure(height: float) -> Figure:
    """An empty figure that lays out its own panels; call within `mpl.rc_context(RC)`."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def legend(figure: Figure, handles: Sequence[Artist], columns: int, **options: Any) -> None:
    """One legend for all panels, above them."""
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, **{"handlelength": 2.8, **options})


def finish(figure: Figure, handles: Sequence[Artist], caption: str) -> Figure:
    """Put the legend, if any, above the panels and the caption, in small type, below them."""
    if handles:
        legend(figure, handles, len(handles), columnspacing=1.4)
    text = textwrap.fill(caption, 144)
    figure.supxlabel(text, x=0.01, ha="left", fontsize=6.5, color="0.25", linespacing=1.35)
    return figure


def encode(figure: Figure, kind: str) -> bytes:
    """The picture as a file's content; equal pictures give equal bytes."""
    content = io.BytesIO()
    with mpl.rc_context(RC), warnings.catch_warnings():
        # A data set's name may hold letters that the font lacks: boxes stand for them.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        # The first layout changes which ticks there is room for, and so how wide their labels are; the second knows.
        if layout := figure.get_layout_engine():
            layout.execute(figure)
        figure.savefig(content, format=kind, metadata=_NO_DATE[kind])
    return content.getvalue()


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
