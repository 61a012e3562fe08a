"""Table 1: final validation (test) losses, perplexities on PTB, of each method, and the paper's beside them."""

import math
from collections.abc import Mapping, Sequence

from figures.reading import results
from figures.reading.results import Group, Part
from figures.reading.trained import BAYESIAN, RANDOM, best, by_setting, replicas
from reference.console.records import Record

METHODS = (RANDOM, BAYESIAN, "STN", "Centered STN", "Δ-STN")
PAPER: Mapping[str, Sequence[tuple[float, float]]] = {
    "mnist-mlp": ((0.043, 0.042), (0.042, 0.043), (0.043, 0.041), (0.041, 0.039), (0.040, 0.038)),
    "fmnist-cnn": ((0.206, 0.214), (0.217, 0.215), (0.196, 0.218), (0.191, 0.212), (0.189, 0.209)),
    "cifar-alexnet": ((0.631, 0.671), (0.594, 0.598), (0.474, 0.488), (0.431, 0.450), (0.425, 0.446)),
    "cifar-vgg16": ((0.566, 0.595), (0.421, 0.446), (0.330, 0.354), (0.286, 0.321), (0.272, 0.296)),
    "cifar-resnet18": ((0.264, 0.298), (0.230, 0.267), (0.266, 0.312), (0.222, 0.258), (0.204, 0.238)),
    "ptb-lstm": ((84.81, 81.46), (72.13, 69.29), (70.67, 67.78), (69.40, 66.67), (68.63, 66.26)),
}
NEEDS = tuple(PAPER)
MAKE = "python -m deep EXPERIMENT --method stn centered-stn delta-stn --seed 0 1 2"
TEXT = "ptb-lstm"
NOTE = """\
Validation (test) loss at the epoch of lowest validation loss; perplexity for ptb-lstm. Mean over the seeds, ± their
standard deviation. The paper's numbers are those of its own setting: where the preset is another, only the order can be
compared. The verdicts follow the rule in figures/reading/results.py, on validation losses; of two equal methods one is
better in all of three seeds once in 4 times, a given one once in 8.
"""


def shown(records: Sequence[Record]) -> list[Record]:
    """Which records are in the table."""
    return [record for part in parts(records) for record in part.records]


def parts(records: Sequence[Record]) -> list[Part]:
    """One for each experiment and setting."""
    return [
        Part(experiment, groups(runs, PAPER[experiment]), perplexities, 2)
        if experiment == TEXT
        else Part(experiment, groups(runs, PAPER[experiment]), best, 3)
        for experiment in NEEDS
        for runs in by_setting(records, experiment, METHODS).values()
    ]


def groups(records: Sequence[Record], paper: Sequence[tuple[float, float]]) -> list[Group]:
    """The methods that have records."""
    every = (Group(name, replicas(records, name), scores) for name, scores in zip(METHODS, paper, strict=True))
    return [group for group in every if group.records]


def perplexities(record: Record) -> tuple[float, float]:
    """exp of the loss of a word."""
    valid, test = best(record)
    return math.exp(valid), math.exp(test)


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """table01.md and table01.csv."""
    return results.files("table01", parts(records), "validation (test)", NOTE)
