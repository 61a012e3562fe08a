"""A function held against every problem: what it returned, how far off it is, how long it took, and why.

name        symbol              meaning
function    (problem, λ) -> ĝ   the hypergradient of anybody's code, of shape (h,)
error       ‖ĝ - g‖/‖g‖         g = dL_V/dλ, exact
cosine      ĝᵀg/‖ĝ‖‖g‖
signs       -                   share of the entries that have the right sign
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from numpy import ndarray

from reference.beyond.yardstick.cases import Case
from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.diagnosis.diagnose import diagnose
from reference.beyond.yardstick.diagnosis.evidence import Evidence
from reference.beyond.yardstick.predictions.known import distance, known

Function = Callable[[Any, ndarray], Any]


@dataclass(frozen=True)
class Result:
    """One problem's line of the report; the numbers are NaN where nothing that can be compared was returned."""

    name: str
    error: float
    tolerance: float
    cosine: float
    signs: float
    seconds: float
    cause: Cause | None

    @property
    def passes(self) -> bool:
        return self.cause is None


@dataclass(frozen=True)
class Answer:
    """What a function returned, or why that can't be compared."""

    value: ndarray
    seconds: float
    cause: Cause | None = None


def ask(function: Function, case: Case) -> Answer:
    """Call it once, its output sent to standard error, and look at what comes back."""
    begin = perf_counter()
    nothing = np.full(case.lam.shape, np.nan)
    try:
        # What it sets, such as np.seterr or warnings, is put back after it.
        with contextlib.redirect_stdout(sys.stderr), np.errstate(), warnings.catch_warnings():
            returned = function(case.problem, case.lam.copy())
        seconds = perf_counter() - begin
        array = np.asanyarray(returned)
        if np.ma.getmaskarray(array).any():
            return Answer(nothing, seconds, Cause("masked", "entries of the answer are masked"))
        if array.dtype.kind not in "fiuO":
            return Answer(
                nothing, seconds, Cause("kind", "the answer is not of real numbers", f"it is of {array.dtype}")
            )
        value = np.asarray(array, dtype=float)
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).split())[:200]
        return Answer(nothing, perf_counter() - begin, Cause("exception", f"it raises {type(error).__name__}", words))
    if value.shape != case.lam.shape:
        return Answer(nothing, seconds, Cause("shape", "the shape is wrong", f"{value.shape}, not {case.lam.shape}"))
    if not np.isfinite(value).all():
        return Answer(nothing, seconds, Cause("not finite", "the answer is not finite"))
    return Answer(value, seconds)


def results(function: Function, chosen: Iterable[Case]) -> list[Result]:
    """A line for each problem, the causes found from all of them together."""
    chosen = list(chosen)
    answers = [ask(function, case) for case in chosen]
    evidence = [Evidence(known(case.name), answer.value) for case, answer in zip(chosen, answers, strict=True)]
    lines = [_line(*triple) for triple in zip(chosen, answers, evidence, strict=True)]
    compared = [k for k, answer in enumerate(answers) if answer.cause is None]
    causes = diagnose([evidence[k] for k in compared])
    for k, cause in zip(compared, causes, strict=True):
        if (
            cause is not None
            and not distance(ask(function, chosen[k]).value, answers[k].value) <= evidence[k].known.tol
        ):
            cause = Cause("not repeatable", "asked twice, it gives two answers: noise, or a state that is kept")
        lines[k] = replace(lines[k], cause=cause)
    return lines


def _line(case: Case, answer: Answer, evidence: Evidence) -> Result:
    g, exact = answer.value, evidence.known.exact
    size = np.linalg.norm(g) * np.linalg.norm(exact)
    cosine = float(g @ exact / size) if size != 0 else 0.0
    signs = float(np.mean(np.sign(g) == np.sign(exact))) if np.isfinite(size) else np.nan
    return Result(case.name, evidence.error, evidence.known.tol, cosine, signs, answer.seconds, answer.cause)
