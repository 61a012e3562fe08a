"""The interface of all estimators: a problem, λ, weights, a budget and a generator in; a gradient and its price out.

name      symbol    shape     meaning
lam       λ         (..., h)  where the hypergradient is wanted
w         w         (..., m)  weights as training has left them so far
budget    -         ()        gradient-equivalents; the unit is defined in reference/beyond/estimators/__init__.py
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.estimators.price import Inner
from reference.bilevel.problem import Problem


@dataclass(frozen=True)
class Estimate:
    """A hypergradient and what it took, in gradient-equivalents."""

    gradient: Float[ndarray, "... h"]
    price: float


class Estimator(ABC):
    """One way to a hypergradient; the fields of a subclass are its settings."""

    @property
    def name(self) -> str:
        """What figures and tables call it."""
        return type(self).__name__

    def __call__(
        self,
        problem: Problem,
        lam: Float[ndarray, "... h"],
        w: Float[ndarray, "... m"],
        budget: float,
        rng: np.random.Generator,
        batch: int | None = None,
    ) -> Estimate:
        """The hypergradient at λ for at most `budget` gradient-equivalents, or for the least price that there is.

        Args:
            w: weights as training has left them so far.
            batch: rows of each mini-batch of the training loss; None for all.
            rng: for mini-batches and perturbations.
        """
        inner = Inner(problem, w.shape[-1], rng, batch)
        gradient = self.hypergradient(inner, lam, w, budget)
        return Estimate(gradient, inner.price)

    @abstractmethod
    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"], budget: float
    ) -> Float[ndarray, "... h"]:
        """The hypergradient; whatever it uses is paid for in `inner`."""
