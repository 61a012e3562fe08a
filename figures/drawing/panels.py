"""The two panels that figures 3, 4, 7, 8 and 9 are made of: λ, or its regret, against outer updates.

name      symbol   meaning
lines              method -> how its mean or median is drawn; the methods from the lowest to the topmost
value     s(λ)     the penalty or drop rate that λ stands for, on the right
regret             L_V(r(λ)) / L_V(r(λ*)) - 1, in per cent
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from figures.drawing import style
from figures.reading.selection import aligned, diverged, exact_by_seed, replicas
from figures.reading.variants import called
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Transform
from reference.console.records import Record

Lines = Mapping[str, Mapping[str, Any]]
FLOOR, CEILING = 1e-3, 1e3
"""Per cent: regrets beyond are drawn at these."""
TICKS = 5
AT_END = {"lower end": "no", "upper end": "the largest", "flat": "any"}


def draw_lam(axes: Axes, records: Sequence[Record], lines: Lines, last: float = np.inf) -> None:
    """A thin line for each seed, a thick one for their mean, and each seed's exact λ*, up to update `last`."""
    shown = [facts["lam_star"] for facts in exact_by_seed(records).values() if facts["where"] == "interior"]
    for lam_star in shown:
        axes.axhline(lam_star, linewidth=0.8, gid="exact", zorder=3, **style.EXACT)
    for method, line in lines.items():
        updates, lam = aligned(replicas(records, method), "lam", np.nan)
        updates, lam = updates[updates <= last], lam[:, updates <= last]
        if updates.size:
            axes.plot(updates, lam.T, color=line["color"], linewidth=0.5, alpha=0.35, gid=f"{method}: seeds")
            axes.plot(updates, np.nanmean(lam, axis=0), gid=f"{method}: mean", **line)
            axes.set_xlim(updates[0], updates[-1])
            shown += [np.nanmin(lam), np.nanmax(lam)]
    margin = 0.06 * max(np.ptp(shown), 0.1) if shown else 0.0
    low, high = Problem.bounds
    axes.set_ylim(max(min(shown, default=low) - margin, low), min(max(shown, default=high) + margin, high))


def add_value_axis(axes: Axes, s: Transform, text: str) -> None:
    """On the right, the values s(λ) at round numbers."""
    decades = 10.0 ** np.arange(-7, 8)
    low, high = axes.get_ylim()
    values = np.sort([*decades, 0.3, 0.5, 0.7, 0.9]) if s.high == 1.0 else decades
    inside = [value for value in values if s.low < value < s.high and low <= s.inverse(value) <= high]
    inside = inside[:: -(-len(inside) // TICKS) or 1]
    twin = axes.twinx()
    twin.set_ylim(low, high)
    twin.set_yticks([s.inverse(value) for value in inside], [_number(value) for value in inside])
    twin.set_ylabel(text)


def draw_regret(axes: Axes, records: Sequence[Record], lines: Lines) -> None:
    """The median over the seeds and, shaded, their range; a seed that has diverged counts as infinitely bad."""
    for method, line in lines.items():
        updates, regret = aligned(replicas(records, method), "regret", np.inf)
        if updates.size:
            percent = np.clip(100 * regret, FLOOR, CEILING)
            least, most = percent.min(axis=0), percent.max(axis=0)
            axes.fill_between(updates, least, most, color=line["color"], alpha=0.15, linewidth=0)
            axes.plot(updates, np.median(percent, axis=0), gid=f"{method}: median", **line)
            axes.set_xlim(updates[0], updates[-1])
    axes.set_yscale("log")
    axes.set_ylim(bottom=FLOOR)
    axes.yaxis.set_major_locator(LogLocator(numticks=TICKS))
    axes.yaxis.set_minor_locator(NullLocator())


def remarks(records: Sequence[Record]) -> str:
    """What a panel cannot show: optima at an end of λ's interval, and replicates that diverged."""
    exact, words = exact_by_seed(records), []
    unit = "dropout" if "rate" in records[0].history else "penalty"
    for where, best in AT_END.items():
        if group := [facts["lam_star"] for facts in exact.values() if facts["where"] == where]:
            value = "any" if where == "flat" else f"{group[0]:.0f}".replace("-", "−")
            words.append(f"λ* = {value} ({best} {unit}) in {len(group)} of {len(exact)} splits")
    for method in filter(None, dict.fromkeys(map(called, records))):
        group = replicas(records, method)
        if lost := sum(map(diverged, group)):
            words.append(f"{method}: {lost} of {len(group)} diverged")
    return "\n".join(words)


def _number(value: float) -> str:
    return f"{value:g}" if 1e-3 <= value <= 1e4 else f"$10^{{{np.log10(value):.0f}}}$"
