"""Deep runs of STN and Δ-STN, as the paper has them and changed: what each is called, what it paid, what it reached.

name     meaning
Setting  experiment, preset, and the rows and epochs of its size; runs are compared within one
label    the method, and its changes in words
price    plain SGD steps until then, by operations in forward passes F: a plain step is 3F, an inner one of STN 6F, of
         Centered STN and Δ-STN 8F, with the control variate 10F; an outer one 4F (deep/README.md, "What it costs")
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from figures.reading.trained import PRESETS, best
from reference.beyond.control_variate.updates import BEYOND, extended
from reference.console.records import Record
from reference.rule.updates import DELTA_STN, STN

METHODS = (STN, DELTA_STN, *BEYOND)
LABELS = {method.slug: method.short for method in METHODS}
PLAIN, OUTER = 3, 4
INNER = {method.slug: 6 if method == STN else 10 if extended(method).control_variate else 8 for method in METHODS}
"""F in a step, by method."""
CHANGES = ("sigma", "sigma_end", "theta_rate", "theta_momentum", "warm_up", "rows", "epochs")


class Setting(NamedTuple):
    """Runs of one are compared; `rows` 0 stands for all of them."""

    experiment: str
    preset: str
    rows: int
    epochs: int


def setting(record: Record) -> Setting:
    """The experiment and its size."""
    settings = record.settings
    return Setting(
        settings["experiment"], settings["preset"], settings["size"]["rows"] or 0, settings["size"]["epochs"]
    )


def by_setting(records: Iterable[Record], experiments: Sequence[str]) -> dict[Setting, dict[str, list[Record]]]:
    """Setting -> label -> the runs, in the order of their seeds; in the order of the experiments, presets, labels."""
    groups: dict[Setting, dict[str, list[Record]]] = {}
    ours = [run for run in records if _is_ours(run, experiments)]
    for record in sorted(ours, key=_place):
        groups.setdefault(setting(record), {}).setdefault(label(record), []).append(record)
    order = sorted(groups, key=lambda key: (experiments.index(key.experiment), PRESETS.index(key.preset), key[2:]))
    return {key: groups[key] for key in order}


def _is_ours(record: Record, experiments: Sequence[str]) -> bool:
    settings = record.settings
    mine = settings["experiment"] in experiments and settings["preset"] != "smoke" and settings["method"] in LABELS
    return mine and set(settings["changes"]) <= set(CHANGES) and record.history["epoch"].size > 0


def _place(record: Record) -> tuple[Any, ...]:
    """Methods in their order, unchanged runs first, seeds in theirs."""
    settings = record.settings
    changed = tuple(settings["changes"].get(name, -1.0) for name in CHANGES)
    return list(LABELS).index(settings["method"]), changed, settings["seed"]


def label(record: Record) -> str:
    """As 'Δ-STN CV, normalised; σ = 0.3; Θ × 10, no warm-up'."""
    return "; ".join((LABELS[record.settings["method"]], *changes_in_words(record.settings["changes"])))


def changes_in_words(changes: Mapping[str, Any]) -> list[str]:
    """A phrase for each change, but for rows and epochs, which are the setting's.

    Example:
        >>> changes_in_words({"sigma": 1.0, "sigma_end": 0.1, "theta_rate": 10.0, "warm_up": 0})
        ['σ from 1 to 0.1', 'Θ × 10', 'no warm-up']
    """
    sigma, end = changes.get("sigma", 1.0), changes.get("sigma_end")
    words = []
    if end is not None:
        words.append(f"σ = {end:g}" if end == sigma else f"σ from {sigma:g} to {end:g}")
    elif "sigma" in changes:
        words.append(f"σ from {sigma:g}, learned")
    if "theta_rate" in changes:
        words.append(f"Θ × {changes['theta_rate']:g}")
    if "theta_momentum" in changes:
        words.append(f"Θ's momentum {changes['theta_momentum']:g}")
    if "warm_up" in changes:
        words.append(f"warm-up {changes['warm_up']:g}" if changes["warm_up"] else "no warm-up")
    return words


def price(record: Record) -> np.ndarray:
    """(K,): plain SGD steps until each row."""
    inner, outer = record.history["inner_steps"], record.history["outer_steps"]
    return (INNER[record.settings["method"]] * inner + OUTER * outer) / PLAIN


def best_by(record: Record, limit: float) -> tuple[float, float]:
    """Validation and test loss where validation is lowest among the rows that cost no more than the limit."""
    return best(record, among=price(record) <= limit)


def rates(record: Record) -> np.ndarray:
    """(K, h): the drop rates along the run."""
    return np.column_stack(
        [record.history[name] for name in record.facts["hyperparameters"] if name.startswith("drop")]
    )
