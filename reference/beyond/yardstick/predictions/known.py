"""What is known of one problem before anybody answers it: the exact answer, its tolerance, and what each cause gives.

name        symbol           shape    meaning
exact       dL_V/dλ          (h,)
tol         √(c u)           ()       vectors that differ less, relatively, are the same
single      c u₃₂            ()       the relative error that single precision explains
wrong       -                -        the causes that would be noticed, each with its prediction (h,)
fitted      -                -        the causes with one unknown constant
"""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.yardstick.cases import case_of
from reference.beyond.yardstick.cause import Cause, Predictions
from reference.beyond.yardstick.predictions.assembly import assembled, proportional
from reference.beyond.yardstick.predictions.estimates import estimated
from reference.beyond.yardstick.predictions.fitted import Fitted
from reference.beyond.yardstick.predictions.parts import Parts, condition, exact_parts
from reference.beyond.yardstick.predictions.perturbed import perturbed
from reference.beyond.yardstick.predictions.solvers import solved

ENORMOUS = 1e100
"""Beyond it squares overflow."""


def distances(values: Float[ndarray, "k h"], b: Float[ndarray, "h"]) -> Float[ndarray, "k"]:
    """‖a - b‖ / the larger norm for each row a; 0 for two zeros.

    Example:
        >>> distances(np.array([[2.0], [0.5]]), np.array([1.0]))
        array([0.5, 0.5])
    """
    sizes = np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), np.linalg.norm(b))[:, 0]
    return np.linalg.norm(values - b, axis=-1, keepdims=True)[:, 0] / np.where(sizes > 0, sizes, 1.0)


def distance(a: Float[ndarray, "h"], b: Float[ndarray, "h"]) -> float:
    """The same for one vector."""
    return float(distances(a[None], b)[0])


@dataclass(frozen=True)
class Known:
    """One problem's side of a comparison."""

    parts: Parts
    exact: Float[ndarray, "h"]
    tol: float
    single: float

    @property
    def response(self) -> float:
        """The size of the response term."""
        return float(np.linalg.norm(self.exact - self.parts.direct))

    @property
    def conditioning(self) -> float:
        """Of the Hessian, without eigenvalues that are zero."""
        mu = np.abs(self.parts.spectrum[0])
        return float(mu.max() / mu.min())

    @cached_property
    def wrong(self) -> Predictions:
        """The causes that would be noticed on this problem, with what they predict."""
        parts = self.parts
        everything = assembled(parts, self.exact) | solved(parts) | estimated(parts)
        values = np.array(list(everything.values()))
        comparable = np.abs(values).max(axis=-1) < ENORMOUS  # and not NaN
        comparable &= distances(np.where(comparable[:, None], values, 0.0), self.exact) > self.tol
        return {cause: value for (cause, value), keep in zip(everything.items(), comparable, strict=True) if keep}

    @cached_property
    def families(self) -> dict[Cause, int]:
        """How many settings each cause has that would be noticed."""
        counts: dict[Cause, int] = {}
        for cause in self.wrong:
            counts[cause.family] = counts.get(cause.family, 0) + 1
        return counts

    @cached_property
    def fitted(self) -> dict[Cause, Fitted]:
        """The causes with one unknown constant that this problem has."""
        return {**proportional(self.parts, self.exact), **perturbed(self.parts)}

    def predict(self, family: Cause, constant: float) -> Float[ndarray, "h"] | None:
        """What one of them predicts, if anything."""
        return self.fitted[family].predict(constant) if family in self.fitted else None


@cache
def known(name: str) -> Known:
    """The problem of that name, in double precision: the same for every function, so computed once."""
    case = case_of(name)
    double = case.doubled
    c = condition(double.problem, double.lam)
    tol = float(np.sqrt(c * np.finfo(case.lam.dtype).eps))
    exact = double.problem.hypergradient(double.lam)
    return Known(exact_parts(double.problem, double.lam), exact, tol, c * float(np.finfo(np.float32).eps))
