"""The results of `toy logistic` in toy/beyond/LOGISTIC.md: its table and prose are what the committed records give."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from figures.reading import archive
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED
from reference.beyond.problems.logistic import Logistic
from reference.console.records import Record, read
from reference.rule.updates import DELTA_STN, STN, Method
from toy.beyond.logistic import labels
from toy.beyond.logistic.jobs import SIGMA, TUNED, Job, jobs
from toy.beyond.logistic.table import table, thousandths
from toy.paper.jobs import unfinished

CHAPTER = (Path(__file__).parent.parent / "toy/beyond/LOGISTIC.md").read_text(encoding="utf-8")
SEPARATE = ("wine", "breast-cancer")
UPDATE = 90


@cache
def shown() -> list[Job]:
    """What the table is of."""
    data, methods = [labels.load(name) for name in labels.SOURCES], (STN, DELTA_STN, DELTA_STN_CV_NORMALISED)
    sigmas = {tuned: 0.3 if tuned == "weights" else SIGMA for tuned in TUNED}
    return [job for tuned in TUNED for job in jobs(data, tuned, methods, range(3), sigmas[tuned], archive.COMMITTED)]


@cache
def runs(tuned: str, data: str, method: Method = DELTA_STN) -> list[Record]:
    """The three records of a line."""
    (job,) = (job for job in shown() if (job.tuned, job.data.name, job.method) == (tuned, data, method))
    return [read(job.folder(seed)) for seed in job.seeds]


def excess(tuned: str, data: str, method: Method, update: int = 300) -> float:
    """The median over seeds at an update, in nats."""
    histories = [run.history for run in runs(tuned, data, method)]
    return float(np.median([history["excess"][history["update"] == update] for history in histories]))


def against(tuned: str, data: str, update: int = 300) -> str:
    """Δ-STN's median and STN's."""
    ours, theirs = (thousandths(excess(tuned, data, method, update)) for method in (DELTA_STN, STN))
    return f"{ours} against {theirs}"


def sentences() -> Iterator[str]:
    """What the README says, in its order."""
    splits = [run for data in SEPARATE for run in runs("smoothing", data)]
    none = sum(run.facts["exact"]["lam_star"][1] < Logistic.bounds[0] + 0.01 for run in splits)
    yield f"no smoothing is best on {none} of these {len(splits)} splits"
    yield f"On digits it gets there sooner ({against('smoothing', 'digits', UPDATE)} after {UPDATE} updates)"
    ours, theirs = (thousandths(excess("smoothing", "digits", method)) for method in (DELTA_STN, STN))
    yield f"and runs past, to {ours}, where STN ends at {theirs}"
    yield f"({against('weights', 'wine')} and {against('weights', 'breast-cancer')})"
    ours, theirs = (thousandths(excess("weights", "digits", method)) for method in (DELTA_STN, STN))
    yield f"and farther on digits ({ours} against {theirs})"
    weighted = [run for data in labels.SOURCES for run in runs("weights", data, DELTA_STN_CV_NORMALISED)]
    sound = [run.history["excess"] for run in weighted if run.facts["outcome"] == "finished"]
    yield f"diverges on {len(weighted) - len(sound)} of the {len(weighted)} splits"
    yield f"on {sum(history[-1] > history[0] for history in sound)} of the others"
    yield f"{against('decay', 'wine')} on wine, {against('decay', 'breast-cancer')} on breast cancer"
    yield f"{against('decay', 'digits')} on digits"
    wine, digits = (runs("decay", data)[seed].history for data, seed in (("wine", 1), ("digits", 0)))
    yield f"At the end of wine's seed 1 ‖w0 - r(λ)‖ is {100 * wine['weights_error'][-1]:.0f} % of ‖r(λ)‖"
    yield f"L_V(w0) = {wine['weights_loss'][-1]:.3f} where L_V(r(λ)) = {wine['validation_loss'][-1]:.3f}"
    yield f"on digits (seed 0) it is {100 * digits['weights_error'][-1]:.0f} %"
    yield f"{digits['weights_loss'][-1]:.3f} where the best response has {digits['validation_loss'][-1]:.3f}"


def test_the_committed_records_are_those_of_the_present_settings() -> None:
    assert list(unfinished(shown())) == []


def test_the_table_is_what_the_records_give() -> None:
    assert [line for line in CHAPTER.splitlines() if line.startswith("|")] == table(shown()).splitlines()


def test_the_prose_is_what_the_records_give() -> None:
    prose = re.sub(r"\s+", " ", CHAPTER)
    assert [sentence for sentence in sentences() if sentence not in prose] == []


def test_which_method_ends_nearer_is_what_the_records_give() -> None:
    for data in SEPARATE:
        assert 10 * excess("smoothing", data, DELTA_STN) < excess("smoothing", data, STN)
        assert excess("weights", data, DELTA_STN) < excess("weights", data, STN)
    for data in labels.SOURCES:
        mended = excess("decay", data, DELTA_STN_CV_NORMALISED) < excess("decay", data, STN)
        assert excess("decay", data, STN) < excess("decay", data, DELTA_STN)
        assert mended == (data == "breast-cancer")
