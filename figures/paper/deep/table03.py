"""Table 3: final validation (test) accuracy of STN and Δ-STN on CIFAR-10, and the paper's beside it."""

from collections.abc import Mapping, Sequence

from figures.reading import results
from figures.reading.results import Group, Part
from figures.reading.trained import best, by_setting, replicas
from reference.console.records import Record

PAPER: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "cifar-alexnet": {"STN": (83.96, 83.38), "Δ-STN": (85.63, 85.19)},
    "cifar-vgg16": {"STN": (89.22, 88.66), "Δ-STN": (90.96, 90.26)},
    "cifar-resnet18": {"STN": (91.51, 90.16), "Δ-STN": (93.46, 92.55)},
}
NEEDS = tuple(PAPER)
MAKE = "python -m deep EXPERIMENT --method stn delta-stn"
NOTE = """\
Validation (test) accuracy in per cent at the epoch of lowest validation loss. Mean over the seeds, ± their standard
deviation. The paper's numbers are those of its own setting: where the preset is another, only the order can be
compared. The verdicts follow the rule in figures/reading/results.py, on validation accuracies.
"""


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are in the table."""
    return [record for part in parts(records) for record in part.records]


def parts(records: Sequence[Record]) -> list[Part]:
    """One for each experiment and setting."""
    parts_here = []
    for experiment, paper in PAPER.items():
        for group in by_setting(records, experiment, tuple(paper)).values():
            groups = [Group(name, runs, paper[name]) for name in paper if (runs := replicas(group, name))]
            parts_here.append(Part(experiment, groups, accuracies, 2, "higher"))
    return parts_here


def accuracies(record: Record) -> tuple[float, float]:
    """In per cent."""
    valid, test = best(record, "accuracy")
    return 100 * valid, 100 * test


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """table03.md and table03.csv."""
    return results.files("table03", parts(records), "validation (test) accuracy, %", NOTE)
