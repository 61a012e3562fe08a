"""What the yardstick says of a function: a line for each problem, and the likeliest cause of what is wrong.

name        meaning
results     one for each problem
cause       the cause that most failures have, with its setting where they share it
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import fill
from typing import Any

import numpy as np
from numpy import ndarray

from reference.beyond.yardstick.cases import cases
from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.measuring import Result, results

COLUMNS = 110


@dataclass(frozen=True)
class Report:
    """All results."""

    results: list[Result]

    @property
    def passes(self) -> bool:
        """Whether every problem was answered rightly."""
        return all(result.passes for result in self.results)

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if not result.passes]

    @property
    def cause(self) -> Cause | None:
        """The likeliest; None where there is nothing to explain."""
        families = [result.cause.family for result in self.results if result.cause is not None]
        if not families:
            return None
        family = Counter(families).most_common(1)[0][0]
        members = Counter(
            failure.cause for failure in self.failures if failure.cause is not None and failure.cause.family == family
        )
        return next(iter(members)) if len(members) == 1 else family

    @property
    def worst(self) -> float:
        """The largest relative error; NaN where one could not be measured."""
        errors = [result.error for result in self.results]
        return math.nan if any(map(math.isnan, errors)) else max(errors)

    def text(self) -> str:
        """A table and a sentence.

        Example:
            >>> print(measure(lambda problem, lam: problem.hypergradient(lam)).text().splitlines()[-1])
            16 problems: all pass.
        """
        head = f"{'problem':15} {'error':>8} {'allowed':>8} {'cosine':>8} {'signs':>5} {'seconds':>8}  verdict"
        return "\n".join([head, *map(_line, self.results), "", fill(self._summary(), COLUMNS)])

    def _summary(self) -> str:
        count, failed, cause = len(self.results), len(self.failures), self.cause
        if cause is None:
            return f"{count} problems: all pass."
        alike = sum(failure.cause is not None and failure.cause.family == cause.family for failure in self.failures)
        words = f"Likeliest cause: {cause} ({alike} of {failed} failures)."
        return f"{count} problems: {count - failed} pass, {failed} fail. {words}"

    def as_object(self) -> dict[str, Any]:
        """The same for JSON; a number that could not be measured is null."""
        return {
            "passes": self.passes,
            "problems": len(self.results),
            "passed": len(self.results) - len(self.failures),
            "worst_error": _number(self.worst),
            "cause": None if self.cause is None else str(self.cause),
            "results": [_object(result) for result in self.results],
        }


def measure(function: Callable[[Any, ndarray], Any]) -> Report:
    """Hold `function(problem, lam)`, which returns the hypergradient dL_V/dλ of shape (h,), against every problem.

    Example, a sign error:
        >>> report = measure(lambda problem, lam: -problem.hypergradient(lam))
        >>> report.passes, str(report.cause)
        (False, 'the sign is wrong')
    """
    theirs = np.errstate(**np.geterr())  # a module may begin with np.seterr(all="raise"), which is for its own numbers
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        return Report(results(theirs(function), cases()))


def _line(result: Result) -> str:
    numbers = (
        f"{result.error:8.1e} {result.tolerance:8.1e} {result.cosine:8.4f} {result.signs:5.0%} {result.seconds:8.4f}"
    )
    return f"{result.name:15} {numbers}  {'pass' if result.cause is None else f'FAIL: {result.cause}'}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _object(result: Result) -> dict[str, Any]:
    numbers = {name: _number(getattr(result, name)) for name in ("error", "tolerance", "cosine", "signs", "seconds")}
    cause = result.cause
    return {
        "problem": result.name,
        "passes": result.passes,
        **numbers,
        "kind": None if cause is None else cause.kind,
        "cause": None if cause is None else str(cause),
    }
