"""Appendix F (F.1): the fixed function s that takes the unconstrained λ to the value that the objective uses.

name        symbol     meaning
lam         λ          unconstrained, any shape
value       s(λ)       in the open interval (low, high)
derivative  s'(λ)
inverse     s⁻¹        the unconstrained start for a start that a person understands
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import expit, logit


@dataclass(frozen=True)
class Exp:
    """s(λ) = exp(λ), for a penalty (H.1).

    Example:
        >>> penalty = Exp()
        >>> penalty(np.array([penalty.inverse(50.0)])).round(6)
        array([50.])
    """

    low: float = 0.0
    high: float = np.inf

    def __call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        return np.exp(lam)

    def derivative(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        return np.exp(lam)

    def inverse(self, value: float) -> float:
        """s⁻¹(value); ValueError at or outside a bound, where no finite λ exists."""
        return float(np.log(_inside(value, self.low, self.high)))


@dataclass(frozen=True)
class Linear:
    """s(λ) = λ: appendix G, where λ is the penalty itself."""

    low: float = -np.inf
    high: float = np.inf

    def __call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        return lam

    def derivative(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        return np.ones_like(lam)

    def inverse(self, value: float) -> float:
        """s⁻¹(value) = value; ValueError where it is not finite."""
        return _inside(value, self.low, self.high)


@dataclass(frozen=True)
class Logistic:
    """s(λ) = low + (high - low) / (1 + exp(-λ)), for a rate or a search space (H.2); s⁻¹ is the scaled logit.

    Example:
        >>> Logistic(0.0, 0.95).inverse(0.475)
        0.0
    """

    low: float = 0.0
    high: float = 1.0

    def __call__(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        return self.low + (self.high - self.low) * expit(lam)

    def derivative(self, lam: Float[ndarray, "..."]) -> Float[ndarray, "..."]:
        return (self.high - self.low) * expit(lam) * expit(-lam)

    def inverse(self, value: float) -> float:
        """s⁻¹(value); ValueError at or outside a bound, where no finite λ exists."""
        return float(logit((_inside(value, self.low, self.high) - self.low) / (self.high - self.low)))


Transform = Exp | Linear | Logistic


def _inside(value: float, low: float, high: float) -> float:
    if not low < value < high:
        raise ValueError(f"{value} is not strictly between {low} and {high}: no finite λ stands for it")
    return value
