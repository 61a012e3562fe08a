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
    for cause in dict.fromkeys(cause for one in left for cause in one.explained):
        explained = [one for one in left if cause in one.explained]
        against = sum(one.digits(one.known.wrong[cause]) for one in passes if cause in one.known.wrong)
        score = sum(one.digits(one.answer) for one in explained) - against
        yield Candidate(cause, explained, [one.explained[cause] for one in explained], score)


def _families(left: Sequence[Evidence]) -> Iterator[Candidate]:
    """The same cause with another setting on each problem, as of a solver that stops by a criterion of its own."""
    for family in dict.fromkeys(cause.family for one in left for cause in one.explained if cause.setting):
        members = {id(one): [cause for cause in one.explained if cause.family == family] for one in left}
        explained = [one for one in left if members[id(one)]]
        score = sum(one.digits(one.answer) - np.log10(one.known.families[family]) for one in explained)
        yield Candidate(family, explained, [members[id(one)][0] for one in explained], score)


def _fitted(left: Sequence[Evidence], passes: Sequence[Evidence]) -> Iterator[Candidate]:
    """A constant that one failure gives, held against all other problems."""
    for source in left:
        for family, fitted in source.known.fitted.items():
            constant = fitted.through(source.answer)
            if constant is None or not _on(source, fitted.at(constant)):
                continue
            cause = Cause(family.kind, family.words, fitted.setting(constant))
            explained = [one for one in left if _on(one, one.known.at(family, constant))]
            contradicted = [(one, value) for one in passes if (value := one.known.at(family, constant)) is not None]
            score = sum(one.digits(one.answer, fitted=one is source) for one in explained)
            score -= sum(one.digits(value) for one, value in contradicted)
            yield Candidate(cause, explained, [cause] * len(explained), score)


def _on(one: Evidence, value: ndarray | None) -> bool:
    """Whether there is a prediction, and the answer equals it."""
    return value is not None and distance(value, one.answer) <= one.known.tol
