"""Classification data that scikit-learn ships with, and softmax regression on a split of them.

name      symbol    shape     meaning
X         X         (n, p)    inputs, as measured
t         t         (n,)      labels 0, ..., c - 1
classes   c         ()

The digits' 8 x 8 pixels are averaged over squares of 2 x 2: 16 inputs, and so 170 weights instead of 650.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from reference.beyond.problems.logistic import Logistic
from reference.console.command import UserError


# eq=False: arrays have no single truth value to compare by.
@dataclass(frozen=True, eq=False)
class Labelled:
    """n examples of p inputs, each of one of c classes."""

    name: str
    X: Float[ndarray, "n p"]
    t: Int[ndarray, "n"]
    classes: int


SOURCES: dict[str, Callable[[], Any]] = {
    "wine": load_wine,
    "breast-cancer": load_breast_cancer,
    "digits": load_digits,
}


def load(name: str) -> Labelled:
    """A set by name.

    Raises:
        UserError: there is no such set.

    Example:
        >>> wine, digits = load("wine"), load("digits")
        >>> wine.X.shape, wine.classes, digits.X.shape, digits.classes
        ((178, 13), 3, (1797, 16), 10)
    """
    if name not in SOURCES:
        raise UserError(f"no classification data are called {name!r}; choose from {', '.join(SOURCES)}")
    bunch = SOURCES[name]()
    X = bunch.images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16) if name == "digits" else bunch.data
    return Labelled(name, X, bunch.target, len(bunch.target_names))


def problem(data: Labelled, seed: int, h: int) -> Logistic:
    """Softmax regression on an 80/20 split that keeps the shares of the classes, its decay divided by n as H.1's.

    Inputs are scaled on the training rows (StandardScaler), and a column of ones is appended to them.
    """
    parts = train_test_split(data.X, data.t, test_size=0.2, random_state=seed, stratify=data.t)
    X, X_valid, t, t_valid = (np.asarray(part) for part in parts)
    scaler = StandardScaler().fit(X)
    X, X_valid = (np.column_stack([scaler.transform(part), np.ones(len(part))]) for part in (X, X_valid))
    return Logistic(X, t, X_valid, t_valid, classes=data.classes, divisor=float(len(X)), h=h)


def stack(problems: Sequence[Logistic]) -> Logistic:
    """Problems of equal shapes as one, the leading axis running over them."""
    arrays = {
        name: np.stack([getattr(problem, name) for problem in problems]) for name in ("X", "t", "X_valid", "t_valid")
    }
    return replace(problems[0], **arrays)
