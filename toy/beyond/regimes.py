"""The laboratory's regimes: a problem whose hypergradient is known, a λ, and weights that are trained, w = r(λ).

name       symbol      meaning
m, h, n    m, h, n     weights, hyperparameters, training rows; validation has n/4
kappa      κ           condition number of H = ∂²L_T/∂w² where the spectrum is constructed
p          e^λ/n       the penalty where the spectrum is constructed: half of H's least eigenvalue 1/κ
batch      b           rows of a mini-batch, all if None
newton     -           Newton steps to r(λ); one where the loss is quadratic

Constructed: H has the eigenvalues 1 to 1/κ, evenly spaced in their logarithms, in random directions; the target is
linear in the features, with noise; validation rows are normal with the training rows' covariance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import logit
from sklearn.datasets import load_wine

from reference.beyond.problems.grouped import GroupedPenalties
from reference.beyond.problems.logistic import Logistic
from reference.problems.linear_network import LinearNetwork
from reference.problems.regression import Regression
from toy.data.datasets import load
from toy.data.split import Split, split
from toy.paper.experiments import H1_PENALTIES, ridge

PENALTY = H1_PENALTIES[1]
"""Of the real data sets, and of H.1 where a set has more than 1000 rows."""

NOISE = 0.5
"""Standard deviation of the constructed targets' noise, beside weights of standard deviation one."""

BUDGETS = 4
"""Evenly spaced in their logarithms."""


NEWTON = 8
"""Steps from w = 0 to r(λ) for softmax regression on wine."""

Built = tuple[Regression | Logistic, Float[ndarray, "h"]]


@dataclass(frozen=True)
class Instance:
    """One problem of a regime."""

    problem: Regression | Logistic
    lam: Float[ndarray, "h"]
    w: Float[ndarray, "m"]


@dataclass(frozen=True)
class Regime:
    """How instances come about, and for what budgets they are worth measuring.

    Args:
        build: a problem and its λ from a seed.
        budgets: in gradient-equivalents.
    """

    name: str
    title: str
    build: Callable[[int], Built]
    budgets: Sequence[float]
    batch: int | None = None
    newton: int = 1

    def instance(self, seed: int) -> Instance:
        """The seed's problem, its weights trained to the end."""
        problem, lam = self.build(seed)
        return Instance(problem, lam, problem.best_response(lam))


def spectral(m: int, h: int, kappa: float, rows: int) -> Callable[[int], Built]:
    """A penalty for each of h groups of features, and H of condition κ; features obey them in turn."""

    def build(seed: int) -> Built:
        rng, p = np.random.default_rng(seed), 1 / (2 * kappa)
        eigenvalues = np.geomspace(1.0, 1 / kappa, m) - p
        root = np.sqrt(eigenvalues)[:, None] * np.linalg.qr(rng.standard_normal((m, m)))[0]
        X = np.sqrt(rows) * np.linalg.qr(rng.standard_normal((rows, m)))[0] @ root
        X_valid = rng.standard_normal((rows // 4, m)) @ root
        w = rng.standard_normal(m)
        t, t_valid = (Z @ w + NOISE * rng.standard_normal(len(Z)) for Z in (X, X_valid))
        problem = GroupedPenalties(X, t, X_valid, t_valid, group=tuple(j % h for j in range(m)), divisor=float(rows))
        return problem, np.full(h, np.log(rows * p))

    return build


def one_penalty(seed: int) -> Built:
    """H.1 on diabetes."""
    return ridge(split(load("diabetes"), seed)), np.full(1, np.log(PENALTY))


def penalty_for_each(seed: int) -> Built:
    """A penalty for each feature of concrete."""
    data = split(load("concrete"), seed)
    n, m = data.X.shape
    return GroupedPenalties(*arrays(data), group=tuple(range(m)), divisor=float(n)), np.full(m, np.log(PENALTY))


def linear_network(seed: int) -> Built:
    """H.4 with two hidden layers on concrete: more weights than outputs, and so a singular H."""
    data = split(load("concrete"), seed)
    return LinearNetwork(*arrays(data), divisor=float(len(data.t)), depth=2), np.full(1, np.log(PENALTY))


def softmax(seed: int) -> Built:
    """Softmax regression on scikit-learn's wine: decay 1/n, label smoothing 0.1, and a weight of 1 for each class.

    The split is its own, blind to classes: that of `toy.beyond.logistic` keeps their shares.
    """
    X, t = load_wine(return_X_y=True)
    rows, train = np.random.default_rng(seed).permutation(len(t)), 4 * len(t) // 5
    X, t = X[rows], t[rows]
    X = np.column_stack([(X - X[:train].mean(axis=0)) / X[:train].std(axis=0), np.ones(len(t))])
    problem = Logistic(X[:train], t[:train], X[train:], t[train:], classes=3, divisor=float(train), h=5)
    return problem, np.array([0.0, logit(0.1), 0.0, 0.0, 0.0])


def arrays(data: Split) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """X, t, X_valid, t_valid."""
    return data.X, data.t, data.X_valid, data.t_valid


def regimes(m: int, h: int, large: tuple[int, int], most: tuple[float, float]) -> dict[str, Regime]:
    """All of them, with constructed ones of m weights and h hyperparameters, and of `large` m and h.

    Args:
        most: the largest budget, without mini-batches and with, of which a small price buys many steps.
    """
    whole, noisy = (
        tuple(float(b) for b in np.geomspace(least, largest, BUDGETS).round(2))
        for least, largest in zip((4.0, 1.25), most, strict=True)
    )
    rows = 4 * m
    every = (
        Regime("one-penalty", "one penalty (diabetes)", one_penalty, whole),
        Regime("condition-1", "condition 1", spectral(m, h, 1.0, rows), whole),
        Regime("condition-1e2", "condition 1e2", spectral(m, h, 1e2, rows), whole),
        Regime("condition-1e4", "condition 1e4", spectral(m, h, 1e4, rows), whole),
        Regime("condition-1e8", "condition 1e8", spectral(m, h, 1e8, rows), whole),
        Regime("large", f"{large[0]} weights, {large[1]} penalties", spectral(*large, 1e2, 5 * large[0] // 4), whole),
        Regime("linear-network", "linear network (concrete)", linear_network, whole),
        Regime("softmax", "softmax regression (wine)", softmax, whole, newton=NEWTON),
        Regime("all-rows", "all rows (concrete)", penalty_for_each, whole),
        Regime("batches-100", "batches of 100 rows (concrete)", penalty_for_each, noisy, batch=100),
        Regime("batches-10", "batches of 10 rows (concrete)", penalty_for_each, noisy, batch=10),
    )
    return {regime.name: regime for regime in every}


SMALL = regimes(m=40, h=4, large=(100, 100), most=(300.0, 12.0))
FULL = regimes(m=200, h=20, large=(2000, 1000), most=(2000.0, 64.0))
