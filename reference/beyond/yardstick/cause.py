"""What can be wrong with a hypergradient: a name for each cause, and what it makes of each problem.

name         meaning
Cause        kind (one of KINDS), words, and a setting that its author chose: a step, a number of steps, σ
Predictions  what an implementation with that cause, and no other, would return
"""

from dataclasses import dataclass, field

from numpy import ndarray

KINDS = (
    "exception",
    "shape",
    "kind",
    "masked",
    "not finite",
    "not repeatable",
    "sign",
    "factor",
    "direct term",
    "transpose",
    "chain rule",
    "wrong place",
    "Hessian",
    "one step",
    "early stop",
    "series",
    "divergence",
    "perturbation",
    "difference step",
    "single precision",
    "unknown",
)


@dataclass(frozen=True)
class Cause:
    """One mistake. Two with the same words differ in a setting only; its kind may depend on the problem."""

    kind: str = field(compare=False)
    words: str
    setting: str = ""

    def __str__(self) -> str:
        words = f"{self.words}: {self.setting}" if self.setting else self.words
        return f"{words}, which diverges" if self.kind == "divergence" and self.setting else words

    @property
    def family(self) -> "Cause":
        """The cause with its setting left open."""
        return Cause(self.kind, self.words)


Predictions = dict[Cause, ndarray]
