"""What a claim is, how its residual is judged, and the list of all of them in the paper's order.

name        meaning
number      what the paper calls it: '2.3', 'Theorem 3', 'C.10-C.12', or several with commas
words       the claim in words
residual    a function of a random generator: how far the claim is from holding on one random instance
tolerance   the largest residual with which it holds
correction  what the paper misprints; the corrected form must hold, and the printed one must not: both are measured
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import numpy as np

EXACT = 1e-10
"""Exact algebra in float64 on matrices of condition number below 1e3, some hundred operations long."""

DIFFERENCE = 1e-6
"""Central differences with step eps^⅓ = 6e-6: errors of 6e-12 times third derivatives and of eps/step = 4e-11."""

SLOPE = 0.05
"""An order of convergence, measured between steps of 1e-4 and 5e-5, where the next order is 1e-4 of it."""

BOUND = 0.0
"""An inequality: its residual is what the bound is missed by, exactly 0 where it is kept."""

MISPRINT = 1e-6
"""The least relative error of a printed form, on every instance, that shows it to be wrong."""

SEED = 2020
"""The instances of `python -m reference`, the same for every claim whichever others run."""

INSTANCES = 4
"""Instances on which a claim is measured; the worst counts."""


class Measured(NamedTuple):
    """What a claim's function may return in place of its residual alone.

    Args:
        detail: the figure in words, where a claim is about how much.
        printed: the relative error of the form that the paper prints, where that is corrected.
    """

    residual: float
    detail: str | None = None
    printed: float | None = None


Residual = Callable[[np.random.Generator], float | Measured]


@dataclass(frozen=True)
class Claim:
    """One statement of the paper that can be checked."""

    number: str
    words: str
    tolerance: float
    residual: Residual
    correction: str | None = None

    def check(self, seed: int = SEED) -> "Verdict":
        """Measure it on the instances that the seed draws: the largest residual, the least error of a printed form."""
        measured = [self._measure(np.random.default_rng([seed, k])) for k in range(INSTANCES)]
        # A residual that is not a number is the worst.
        worst = max(measured, key=lambda instance: (np.isnan(instance.residual), instance.residual))
        errors = [instance.printed for instance in measured if instance.printed is not None]
        # NumPy's minimum, unlike Python's, is NaN where one of them is: then nothing was shown.
        printed = float(np.min(errors)) if len(errors) == INSTANCES else None
        return Verdict(self, float(worst.residual), worst.detail, printed)

    def _measure(self, rng: np.random.Generator) -> Measured:
        measured = self.residual(rng)
        return measured if isinstance(measured, Measured) else Measured(measured)

    def is_called(self, name: str) -> bool:
        """Whether `name` is among its numbers, or whole words of one: 'D.6' is in 'D.5-D.7', '3.1' not in '3.10'.

        Example:
            >>> ranged, theorem = (Claim(n, "", 0.0, lambda rng: 0.0) for n in ("D.5-D.7, 3.10", "Theorem 3"))
            >>> [ranged.is_called(name) for name in ("D.6", "D", "d.7", "3.10", "3.1", "10", "D.8", " ")]
            [True, True, True, True, False, False, False, False]
            >>> [theorem.is_called(name) for name in ("theorem 3", "Theorem", "Theorem 30", "Theo")]
            [True, True, False, False]
        """
        whole_words = rf"(?<![\w.]){re.escape(name.strip())}(?!\w)"
        return bool(name.strip()) and re.search(whole_words, ", ".join(self.labels()), re.IGNORECASE) is not None

    def labels(self) -> list[str]:
        """Its numbers one by one, ranges written out."""
        labels = []
        for part in self.number.split(", "):
            span = re.fullmatch(r"([\w]+\.)(\d+)-\1(\d+)", part)
            labels += [f"{span[1]}{k}" for k in range(int(span[2]), int(span[3]) + 1)] if span else [part]
        return labels


@dataclass(frozen=True)
class Verdict:
    """A claim's worst residual; `detail` says by how much where a claim is about that; `printed` as in `Measured`."""

    claim: Claim
    residual: float
    detail: str | None
    printed: float | None

    @property
    def holds(self) -> bool:
        """Whether the residual is within the tolerance, and a corrected form was seen not to hold as printed."""
        refuted = self.claim.correction is None or (self.printed is not None and self.printed > MISPRINT)
        return bool(self.residual <= self.claim.tolerance) and refuted


ENTERED: list[Claim] = []


def claim(number: str, words: str, tolerance: float, correction: str | None = None) -> Callable[[Residual], Residual]:
    """Enter the decorated residual in the list of claims."""

    def enter(residual: Residual) -> Residual:
        ENTERED.append(Claim(number, words, tolerance, residual, correction))
        return residual

    return enter


def entered_by(parts: Sequence[ModuleType]) -> tuple[Claim, ...]:
    """The claims that stand in the modules, module by module."""
    return tuple(claim for part in parts for claim in ENTERED if claim.residual.__module__ == part.__name__)
