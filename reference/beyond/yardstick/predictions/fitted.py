"""Predictions with one unknown constant c, which one failure gives and the other problems check.

name        symbol      shape
base        b           (h,)      where the answer is b + c s
slope       s           (h,)
grid        c_i         (q,)      where a curve is drawn before anything is fitted to it
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

MOST_STEPS, LAST = 12, 1e-6
"""Secant steps: each multiplies the error by the last two, so one that is so small, relatively, is the last."""


@dataclass(frozen=True)
class Line:
    """b + c s.

    Example, (1, 0) + c (0, 2) is nearest to (3, 5) at c = 5/2:
        >>> Line(np.array([1.0, 0.0]), np.array([0.0, 2.0])).through(np.array([3.0, 5.0]))
        2.5
    """

    base: Float[ndarray, "h"]
    slope: Float[ndarray, "h"]

    def predict(self, constant: float) -> Float[ndarray, "h"] | None:
        """The prediction."""
        return self.base + constant * self.slope

    def through(self, answer: Float[ndarray, "h"]) -> float | None:
        """The c whose prediction is nearest; None where all are the same."""
        return float((answer - self.base) @ self.slope / (self.slope @ self.slope)) if self.slope.any() else None

    def setting(self, constant: float) -> str:
        """How the constant is written."""
        return f"{constant:.4g}"


@dataclass(frozen=True)
class Curve:
    """A prediction for each σ; None where there is none.

    Example, (σ², σ⁴) goes through (0.09, 0.0081) at σ = 0.3:
        >>> curve = Curve(lambda sigma: np.array([sigma**2, sigma**4]), np.geomspace(0.01, 1.0, 5))
        >>> round(curve.through(np.array([0.09, 0.0081])), 9)
        0.3
        >>> curve.through(np.array([0.09, 5.0]))
    """

    function: Callable[[float], Float[ndarray, "h"] | None]
    grid: Float[ndarray, "q"]

    def predict(self, constant: float) -> Float[ndarray, "h"] | None:
        """The prediction."""
        return self.function(constant)

    @cached_property
    def drawn(self) -> tuple[Float[ndarray, "p"], Float[ndarray, "p h"]]:
        """σ² in which a small bias is a straight line, and the predictions, where there are any."""
        points = [(sigma**2, value) for sigma in self.grid if (value := self.predict(sigma)) is not None]
        return np.array([s for s, _ in points]), np.array([value for _, value in points])

    def through(self, answer: Float[ndarray, "h"]) -> float | None:
        """The σ whose prediction is nearest, by secants from the nearest chord; None where no chord is near."""
        s, values = self.drawn
        if len(s) < 2:
            return None
        chords, ahead = np.diff(values, axis=0), answer - values[:-1]
        lengths = np.linalg.norm(chords, axis=-1)
        along = np.clip(np.vecdot(ahead, chords) / np.where(lengths > 0, lengths, 1.0) ** 2, 0.0, 1.0)
        gaps = np.linalg.norm(ahead - along[:, None] * chords, axis=-1)
        k = int(np.argmin(gaps))
        if gaps[k] > lengths[k]:
            return None
        return self._secants(answer, (s[k], values[k]), float(s[k] + along[k] * (s[k + 1] - s[k])))

    def _secants(self, answer: ndarray, behind: tuple[float, ndarray], s: float) -> float | None:
        least, most = self.drawn[0][[0, -1]]
        for _ in range(MOST_STEPS):
            value = self.predict(np.sqrt(s))
            slope = None if value is None or s == behind[0] else (value - behind[1]) / (s - behind[0])
            if value is None or slope is None or not slope.any():
                break
            step = (answer - value) @ slope / (slope @ slope)
            behind, s = (s, value), float(np.clip(s + step, least, most))
            if abs(step) <= LAST * s:
                break
        return float(np.sqrt(s))

    def setting(self, constant: float) -> str:
        """How the constant is written."""
        return f"σ = {constant:.4g}"


Fitted = Line | Curve
