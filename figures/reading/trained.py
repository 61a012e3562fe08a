"""Which records of trained networks a figure draws, and what is read from them.

A figure compares runs of one setting, that is of one preset and one size: `smoke` only where there is nothing else,
otherwise the setting that has most of the figure's methods, and of equals the larger preset.

name      meaning
best      at the epoch of the lowest validation loss: validation and test, of the loss or of another score
so_far    the lowest validation loss until then, against epochs or seconds
mean      over curves, each a step function that keeps its last value
"""

import json
from collections.abc import Collection, Iterable, Sequence

import numpy as np

from reference.console.records import Record
from reference.rule.updates import METHODS

RANDOM, BAYESIAN, GRID = "random search", "Bayesian optimisation", "grid search"
NAMES = {
    **{method.slug: method.name for method in METHODS},
    "random-search": RANDOM,
    "bayesian-optimisation": BAYESIAN,
    "grid-search": GRID,
    "fixed": "fixed",
}
PRESETS = ("smoke", "cpu", "paper")

Setting = tuple[str, str]
"""A preset and a size."""
Curve = tuple[np.ndarray, np.ndarray]
"""x and y, both (K,)."""


def method(record: Record) -> str:
    """The method's name in figures and tables."""
    slug: str = record.settings["method"]
    return NAMES.get(slug, slug)


def by_setting(
    records: Iterable[Record], experiment: str, methods: Collection[str], varied: Collection[str] = ()
) -> dict[Setting, list[Record]]:
    """The experiment's records of these methods, changed in nothing but what is varied; larger presets first."""
    groups: dict[Setting, list[Record]] = {}
    for record in records:
        settings = record.settings
        mine = settings["experiment"] == experiment and method(record) in methods
        if mine and set(settings.get("changes", ())) <= set(varied) and record.history["epoch"].size:
            setting = settings["preset"], json.dumps(settings["size"], sort_keys=True)
            groups.setdefault(setting, []).append(record)
    return {key: groups[key] for key in sorted(groups, key=lambda key: (-PRESETS.index(key[0]), key[1]))}


def chosen(
    records: Iterable[Record], experiment: str, methods: Collection[str], varied: Collection[str] = ()
) -> list[Record]:
    """The records of one setting; none where there is none."""
    groups = by_setting(records, experiment, methods, varied)

    def worth(setting: Setting) -> tuple[bool, int, int, int]:
        preset, runs = setting[0], groups[setting]
        return preset != "smoke", len(set(map(method, runs))), PRESETS.index(preset), len(runs)

    return groups[max(groups, key=worth)] if groups else []


def replicas(records: Iterable[Record], name: str) -> list[Record]:
    """One method's records, in the order of their seeds."""
    return sorted((run for run in records if method(run) == name), key=lambda run: run.settings["seed"])


def at_best(record: Record, column: str, among: np.ndarray | None = None) -> float:
    """A column's value where the validation loss is lowest, among all rows or those that a mask (K,) picks."""
    loss = record.history["valid_loss"]
    left_out = np.isnan(loss) | (False if among is None else ~among)
    return float(record.history[column][np.argmin(np.where(left_out, np.inf, loss))])


def best(record: Record, score: str = "loss", among: np.ndarray | None = None) -> tuple[float, float]:
    """Validation and test where the validation loss is lowest."""
    return at_best(record, f"valid_{score}", among), at_best(record, f"test_{score}", among)


def so_far(record: Record, x: str) -> Curve:
    """The lowest validation loss until then, against a column."""
    return record.history[x], np.fmin.accumulate(record.history["valid_loss"])


def mean(curves: Sequence[Curve]) -> Curve:
    """The mean from where all have begun to where the last one ends."""
    begin = max(x[0] for x, _ in curves)
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    grid = grid[grid >= begin]
    return grid, np.mean([y[np.searchsorted(x, grid, side="right") - 1] for x, y in curves], axis=0)


def setting_of(records: Sequence[Record]) -> str:
    """'mnist-mlp: preset cpu, not the paper's setting: 5000 rows, width 0.33 of the paper's, 150 epochs; 3 seeds'."""
    settings = records[0].settings
    size, preset = settings["size"], settings["preset"]
    words = [f"on {size['data']}"] if size["data"] else []
    words += [f"{size['rows']} rows" if size["rows"] else "all rows"]
    words += [f"width {size['width']:.2g} of the paper's"] if size["width"] != 1 else []
    words += [f"{size['epochs']} epochs"]
    paper = "the paper's setting" if preset == "paper" else "not the paper's setting"
    return f"{settings['experiment']}: preset {preset}, {paper}: {', '.join(words)}; {count_seeds(records)}"


def count_seeds(records: Iterable[Record]) -> str:
    """'3 seeds', or from how few to how many where methods differ."""
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(method(record), set()).add(record.settings["seed"])
    counts = sorted({len(group) for group in seeds.values()})
    return f"{counts[0]} to {counts[-1]} seeds" if len(counts) > 1 else f"{counts[0]} seed{'s' * (counts[0] > 1)}"


def lacking(records: Iterable[Record], methods: Sequence[str]) -> str:
    """What the caption says of methods without records."""
    there = set(map(method, records))
    missing = [name for name in methods if name not in there]
    return f", no records of {', '.join(missing)}" if missing else ""
