"""One problem with the answer that it was given, and the causes that would give it.

name        symbol           shape    meaning
answer      ĝ                (h,)     what the function returned
digits      h log10(e/tol)   ()       how many digits of an error e a match explains: by accident once in 10^digits
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.predictions.known import Known, distance, distances


@dataclass(frozen=True)
class Evidence:
    """What one problem says."""

    known: Known
    answer: Float[ndarray, "h"]

    @property
    def error(self) -> float:
        """‖ĝ - dL_V/dλ‖/‖dL_V/dλ‖."""
        return float(np.linalg.norm(self.answer - self.known.exact) / np.linalg.norm(self.known.exact))

    @property
    def failed(self) -> bool:
        """Whether the error is above the tolerance, or no number."""
        return not self.error <= self.known.tol

    def digits(self, value: Float[ndarray, "h"], fitted: int = 0) -> float:
        """By how many digits a value differs from the exact answer, for each entry but those that were fitted to it."""
        known = self.known
        return float((len(value) - fitted) * np.log10(max(distance(value, known.exact) / known.tol, 1.0)))

    @cached_property
    def explained(self) -> dict[Cause, Cause]:
        """The causes that predict the answer, each under itself (its kind is this problem's)."""
        wrong = self.known.wrong
        match = distances(np.array(list(wrong.values())), self.answer) <= self.known.tol
        return {cause: cause for cause, hit in zip(wrong, match, strict=True) if hit}
