"""Appendix F: a hyperparameter as it is declared: a name, bounds, a start, and the s between λ and its value.

name     symbol     meaning
lam      λ          unconstrained
value    s(λ)       in the open interval (low, high), in its own units; at a bound where λ's precision ends
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from reference.bilevel.transforms import Exp, Linear, Logistic, Transform
from reference.console.command import UserError

Per = Literal["example", "batch"]


@dataclass(frozen=True)
class Hyperparameter:
    """A named hyperparameter with its bounds; calling it is s of appendix F (F.1).

    Args:
        start: s(λ) at the start, strictly between the bounds.
        low, high: both finite, or (0, ∞), or (-∞, ∞).
        discrete: losses read the whole number below s(λ + ε).
        per: whether each example of a batch has an ε of its own, or the batch has one.
        unit: of the value, such as "px": shown in the progress bar.
        presumed: it is withdrawn where the first pass shows that nothing reads it, as a layer's that is never called.

    Raises:
        UserError: the start is at or outside a bound, the bounds have no transform, or `per` is neither of the two.

    Example:
        >>> rate = Hyperparameter("rate", start=0.475, high=0.95)
        >>> rate.lam, rate(torch.tensor([0.0]))
        (0.0, tensor([0.4750]))
    """

    name: str
    start: float
    low: float = 0.0
    high: float = math.inf
    discrete: bool = False
    per: Per = "example"
    unit: str = ""
    presumed: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.start < self.high:
            problem = f"hyperparameter {self.name!r}: its start {self.start} is not strictly between"
            raise UserError(f"{problem} {self.low} and {self.high}; choose a start inside, or other bounds")
        if self.per not in ("example", "batch"):
            raise UserError(f"hyperparameter {self.name!r}: per={self.per!r} is neither 'example' nor 'batch'")
        _ = self.transform

    @property
    def transform(self) -> Transform:
        """s, as `reference` has it."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            return Logistic(self.low, self.high)
        if (self.low, self.high) == (0.0, math.inf):
            return Exp()
        if (self.low, self.high) == (-math.inf, math.inf):
            return Linear()
        raise UserError(f"hyperparameter {self.name!r}: bounds are two numbers, or 0 and inf, or -inf and inf")

    @property
    def width(self) -> float:
        """high - low; 1 where that is infinite."""
        return self.high - self.low if math.isfinite(self.high - self.low) else 1.0

    @property
    def lam(self) -> float:
        """s⁻¹(start)."""
        return self.transform.inverse(self.start)

    def __call__(self, lam: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """s(λ), before any rounding to a whole number."""
        match self.transform:
            case Logistic(low, high):
                return low + (high - low) * torch.sigmoid(lam)
            case Exp():
                return torch.exp(lam)
            case Linear():
                return lam
