"""Candidates for the cause of several failures at once, with the evidence for each.

name        meaning
left        failures that are not yet explained
passes      problems that were answered rightly
score       digits that agree, less digits that contradict, less the price of what was fitted
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.diagnosis.evidence import Evidence
from reference.beyond.yardstick.predictions.known import distance


@dataclass(frozen=True)
class Candidate:
    """A cause, the failures that it explains, and under which name on each."""

    cause: Cause
    explained: list[Evidence]
    causes: list[Cause]
    score: float


def candidates(left: Sequence[Evidence], passes: Sequence[Evidence]) -> Iterator[Candidate]:
    """All causes, families of causes and fitted constants that explain a failure."""
    yield from _single(left, passes)
    yield from _families(left)
    yield from _fitted(left, passes)


def _single(left: Sequence[Evidence], passes: Sequence[Evidence]) -> Iterator[Candidate]:
    for cause in dict.fromkeys(cause for item in left for cause in item.explained):
        explained = [item for item in left if cause in item.explained]
        against = sum(item.digits(item.known.wrong[cause]) for item in passes if cause in item.known.wrong)
        score = sum(item.digits(item.answer) for item in explained) - against
        yield Candidate(cause, explained, [item.explained[cause] for item in explained], score)


def _families(left: Sequence[Evidence]) -> Iterator[Candidate]:
    """The same cause with another setting on each problem, as of a solver that stops by a criterion of its own."""
    for family in dict.fromkeys(cause.family for item in left for cause in item.explained if cause.setting):
        members = {id(item): [cause for cause in item.explained if cause.family == family] for item in left}
        explained = [item for item in left if members[id(item)]]
        score = sum(item.digits(item.answer) - np.log10(item.known.families[family]) for item in explained)
        yield Candidate(family, explained, [members[id(item)][0] for item in explained], score)


def _fitted(left: Sequence[Evidence], passes: Sequence[Evidence]) -> Iterator[Candidate]:
    """A constant that one failure gives, held against all other problems."""
    for source in left:
        for family, fitted in source.known.fitted.items():
            constant = fitted.through(source.answer)
            if constant is None or not _on(source, fitted.predict(constant)):
                continue
            cause = Cause(family.kind, family.words, fitted.setting(constant))
            explained = [item for item in left if _on(item, item.known.predict(family, constant))]
            contradicted = [
                (item, value) for item in passes if (value := item.known.predict(family, constant)) is not None
            ]
            score = sum(item.digits(item.answer, fitted=item is source) for item in explained)
            score -= sum(item.digits(value) for item, value in contradicted)
            yield Candidate(cause, explained, [cause] * len(explained), score)


def _on(item: Evidence, value: ndarray | None) -> bool:
    """Whether there is a prediction, and the answer equals it."""
    return value is not None and distance(value, item.answer) <= item.known.tol
