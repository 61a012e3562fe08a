"""The problems of the yardstick, from trivial to cruel; each has an exact hypergradient, Eqn. 2.4.

name       symbol    shape    meaning
problem    -         -        what the function under test is given, with the methods of reference/bilevel/problem.py
lam        λ         (h,)     where it is asked for the hypergradient
n, v, m    -         ()       training rows, validation rows, weights
spectrum   -         (m,)     eigenvalues of XᵀX/n, hence of the Hessian but for the penalty

    name            what it adds
    quadratic       one linear system, conditioned like 10; h = 3
    direct          L_V depends on λ directly as well
    square          as many hyperparameters as weights: a transpose has the right shape
    wide            four times as many hyperparameters as weights
    ridge           data; λ is the logarithm of a penalty
    dropout         λ is the logit of a drop rate
    penalties       a penalty for each feature
    rates           a drop rate for each feature
    saturating      a network: v = c tanh(w)
    rank-deficient  a linear network: of 36 weights only 4 directions matter, so the Hessian is singular
    flat            λ is within 1e-5 of the optimum: the answer is a difference of larger numbers
    float32         λ and the answer in single precision, and the data as exact as that
    ill-1e4         three penalties, Hessian conditioned like 1e4
    ill-1e8         ... and like 1e8
    softmax         multinomial logistic regression: no closed form, the Hessian moves with w
    class-weights   ... with decay, smoothing and three class weights: along (1, 0, 1, 1, 1) nothing changes

Row counts differ, so that a factor of rows can be told from any other.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.problems.grouped import GroupedPenalties, GroupedRates
from reference.beyond.problems.logistic import Logistic
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Linear
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.problems.ridge import Ridge
from reference.problems.saturating import SaturatingSlopes


@dataclass(frozen=True)
class Case:
    """One problem, and the λ at which it is asked about."""

    name: str
    problem: Problem
    lam: Float[ndarray, "h"]

    @property
    def doubled(self) -> "Case":
        """The same numbers in double precision, in which the exact answer is computed."""
        return replace(self, lam=self.lam.astype(float))


def cases() -> list[Case]:
    """All of them, made afresh: a function under test that writes into one spoils no other.

    Example:
        >>> [len(case.lam) for case in cases()][:5]
        [3, 3, 6, 20, 1]
    """
    return [case_of(name) for name in BUILDERS]


def case_of(name: str) -> Case:
    """The case of that name."""
    return Case(name, *BUILDERS[name](np.random.default_rng(list(BUILDERS).index(name))))


def data(
    rng: np.random.Generator, n: int, v: int, spectrum: Float[ndarray, "m"]
) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """X, t, X_valid, t_valid of a linear model with noise; XᵀX/n has the spectrum given, in random directions."""
    m = len(spectrum)
    directions = np.sqrt(spectrum)[:, None] * np.linalg.qr(rng.normal(size=(m, m)))[0]
    X = np.sqrt(n) * np.linalg.qr(rng.normal(size=(n, m)))[0] @ directions
    X_valid = rng.normal(size=(v, m)) @ directions
    w = rng.normal(size=m)
    return X, X @ w + 0.3 * rng.normal(size=n), X_valid, X_valid @ w + 0.3 * rng.normal(size=v)


def quadratic(
    rng: np.random.Generator, m: int, h: int, direct: bool = False
) -> tuple[QuadraticProblem, Float[ndarray, "h"]]:
    """Eqn. C.9 twice: L_T conditioned like 10, L_V convex and, where `direct`, dependent on λ by itself."""
    Q = np.linalg.qr(rng.normal(size=(m, m)))[0]
    A = (Q * np.geomspace(0.5, 5.0, m)) @ Q.T
    train = Quadratic(
        (A + A.T) / 2, rng.normal(size=(m, h)), np.zeros((h, h)), rng.normal(size=m), np.zeros(h), np.float64(0)
    )
    M = rng.normal(size=(m + h, m + h))
    M = M @ M.T / (m + h) + np.eye(m + h)
    M[:m, m:], M[m:, :m], M[m:, m:] = direct * M[:m, m:], direct * M[m:, :m], direct * M[m:, m:]
    valid = Quadratic(M[:m, :m], M[:m, m:], M[m:, m:], rng.normal(size=m), direct * rng.normal(size=h), np.float64(0))
    return QuadraticProblem(train, valid), rng.normal(size=h)


def flat(rng: np.random.Generator) -> tuple[QuadraticProblem, Float[ndarray, "h"]]:
    """A λ beside the optimum of the outer loss."""
    problem, away = quadratic(rng, 8, 3, direct=True)
    return problem, problem.optimum().lam_star + 1e-5 * away / np.linalg.norm(away)


def single(rng: np.random.Generator) -> tuple[Ridge, Float[ndarray, "1"]]:
    """Ridge regression as a network would have it, in single precision throughout."""
    X, t, X_valid, t_valid = (array.astype(np.float32) for array in data(rng, 44, 23, np.geomspace(3.0, 0.3, 8)))
    return Ridge(X, t, X_valid, t_valid, divisor=44.0), np.array([1.2], dtype=np.float32)


def ill_conditioned(rng: np.random.Generator, n: int, worst: float) -> tuple[GroupedPenalties, Float[ndarray, "3"]]:
    """Thirty correlated features, three penalties near the least eigenvalue: the weights are all but free."""
    group = tuple(int(j) for j in rng.permutation(np.arange(30) % 3))
    problem = GroupedPenalties(*data(rng, n, 37, np.geomspace(1.0, 1 / worst, 30)), group=group, divisor=1.0)
    return problem, np.log(np.array([0.5, 1.0, 2.0]) / worst)


def classified(rng: np.random.Generator, n: int, v: int, h: int) -> Logistic:
    """Three classes, drawn with the probabilities of a linear model; h as `Logistic` has it."""
    X, _, X_valid, _ = data(rng, n, v, np.geomspace(2.0, 0.5, 4))
    W = rng.normal(size=(3, 4))
    t, t_valid = (np.argmax(Z @ W.T + rng.gumbel(size=(len(Z), 3)), axis=-1) for Z in (X, X_valid))
    return Logistic(X, t, X_valid, t_valid, classes=3, divisor=float(n), h=h)


WELL = np.geomspace(3.0, 0.3, 8)

BUILDERS: dict[str, Callable[[np.random.Generator], tuple[Any, ndarray]]] = {
    "quadratic": lambda rng: quadratic(rng, 8, 3),
    "direct": lambda rng: quadratic(rng, 8, 3, direct=True),
    "square": lambda rng: quadratic(rng, 6, 6, direct=True),
    "wide": lambda rng: quadratic(rng, 5, 20),
    "ridge": lambda rng: (Ridge(*data(rng, 40, 25, WELL), divisor=40.0), np.array([1.5])),
    "dropout": lambda rng: (InputDropout(*data(rng, 42, 27, WELL)), np.array([-0.8])),
    "penalties": lambda rng: (
        GroupedPenalties(*data(rng, 46, 29, WELL), group=tuple(range(8)), divisor=1.0),
        rng.uniform(-2.0, 1.0, size=8),
    ),
    "rates": lambda rng: (
        GroupedRates(*data(rng, 48, 31, WELL), group=tuple(range(8))),
        rng.uniform(-2.0, 0.0, size=8),
    ),
    "saturating": lambda rng: (
        SaturatingSlopes(*data(rng, 50, 33, WELL), divisor=50.0, s=Linear(), c=np.full(8, 4.0)),
        np.array([6.0]),
    ),
    "rank-deficient": lambda rng: (
        LinearNetwork(*data(rng, 52, 35, WELL[::2]), divisor=1.0, depth=2),
        np.array([-0.7]),
    ),
    "flat": flat,
    "float32": single,
    "ill-1e4": lambda rng: ill_conditioned(rng, 54, 1e4),
    "ill-1e8": lambda rng: ill_conditioned(rng, 56, 1e8),
    "softmax": lambda rng: (classified(rng, 58, 39, 1), np.array([2.1])),
    "class-weights": lambda rng: (classified(rng, 60, 41, 5), np.array([2.3, -2.0, 0.4, -0.3, 0.1])),
}
