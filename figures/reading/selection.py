"""Which records a figure draws: variants (figures/reading/variants.py) at the experiment's present start and settings.

name      meaning
panels    data set's title -> its records; the three sets that need no network come first
replicas  one variant's records of a data set, in the order of their seeds
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from figures.reading.variants import PAPER, called
from reference.console.records import Record
from toy.data.datasets import OFFLINE, SOURCES, Dataset
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import digest

KNOWN = list(dict.fromkeys((*OFFLINE, *SOURCES)))


def panels(records: Iterable[Record], experiment: str, methods: Sequence[str]) -> dict[str, list[Record]]:
    """The experiment's records, a list for each data set; two sets of one name are told apart by their digests."""
    by_data: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if is_current(record, experiment) and called(record) in methods:
            data = record.settings["data"]
            by_data.setdefault((data["name"], data["digest"]), []).append(record)
    names = [name for name, _ in by_data]
    order = sorted(by_data, key=lambda key: (KNOWN.index(key[0]) if key[0] in KNOWN else len(KNOWN), key))
    return {key[0] if names.count(key[0]) == 1 else f"{key[0]} {key[1][:4]}": by_data[key] for key in order}


def is_current(record: Record, experiment: str) -> bool:
    """Whether a record is one of the experiment's as it now stands: its start and schedule."""
    settings = record.settings
    if settings["experiment"] != experiment:
        return False
    now = EXPERIMENTS[experiment]
    start = now.start(settings["data"]["rows"])
    return {"start": start, "schedule": asdict(now.schedule)}.items() <= settings.items()


def of_dataset(records: Iterable[Record], experiment: str, dataset: Dataset) -> list[Record]:
    """The experiment's records of exactly this data set, of the paper's four methods."""
    return [record for record in current_of(records, experiment, dataset) if called(record) in PAPER]


def current_of(records: Iterable[Record], experiment: str, dataset: Dataset) -> list[Record]:
    """The experiment's records of exactly this data set, of any method at any σ."""
    mine = digest(dataset)
    return [
        record for record in records if is_current(record, experiment) and record.settings["data"]["digest"] == mine
    ]


def replicas(records: Iterable[Record], method: str) -> list[Record]:
    """One variant's records, in the order of their seeds."""
    mine = [record for record in records if called(record) == method]
    return sorted(mine, key=lambda record: record.settings["seed"])


def diverged(record: Record) -> bool:
    """Whether λ or w stopped being finite; the history ends before."""
    return record.facts["outcome"].startswith("diverged")


def aligned(records: Sequence[Record], column: str, after: float) -> tuple[np.ndarray, np.ndarray]:
    """Updates (K,) and one column of several histories (R, K); where a history has ended stands `after`."""
    updates = np.unique(np.concatenate([np.zeros(0), *(record.history["update"] for record in records)]))
    values = np.full((len(records), len(updates)), after)
    for row, record in zip(values, records, strict=True):
        row[np.searchsorted(updates, record.history["update"])] = record.history[column]
    return updates, values


def exact_by_seed(records: Iterable[Record]) -> dict[int, dict[str, Any]]:
    """Each seed's exact answers: λ*, its loss, and where in λ's interval it lies."""
    return {record.settings["seed"]: record.facts["exact"] for record in records}


def count_seeds(records: Iterable[Record]) -> str:
    """'5 seeds', or from how few to how many where data sets differ."""
    seeds: dict[str, set[int]] = {}
    for record in records:
        seeds.setdefault(record.settings["data"]["digest"], set()).add(record.settings["seed"])
    counts = sorted({len(group) for group in seeds.values()})
    return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
