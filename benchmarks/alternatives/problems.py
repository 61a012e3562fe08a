"""The problems themselves, a split for each seed.

name      symbol    shape     meaning
calls     -         3         how often Newton's method has asked for the loss, its gradient and its Hessian
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy import ndarray
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from reference.beyond.problems.grouped import GroupedPenalties
from reference.beyond.problems.logistic import Logistic
from reference.problems.ridge import Ridge
from toy.beyond.logistic.labels import load as classified
from toy.data.datasets import Dataset, load
from toy.data.split import split
from toy.paper.experiments import ridge

Linear = Ridge | GroupedPenalties


@dataclass(frozen=True)
class CountedLogistic(Logistic):
    """Logistic regression that knows what its best responses have cost."""

    @cached_property
    def calls(self) -> Counter[str]:
        """ "loss", "gradient", "hessian" -> how often."""
        return Counter()

    def train_loss_v(self, lam: ndarray, v: ndarray):
        self.calls["loss"] += 1
        return super().train_loss_v(lam, v)

    def train_grad_v(self, lam: ndarray, v: ndarray) -> ndarray:
        self.calls["gradient"] += 1
        return super().train_grad_v(lam, v)

    def train_hess_vv(self, lam: ndarray, v: ndarray) -> ndarray:
        self.calls["hessian"] += 1
        return super().train_hess_vv(lam, v)


Tuned = Linear | CountedLogistic
"""Whatever is tuned here: the weights are the outputs, m = m."""


def one_penalty(seed: int) -> Ridge:
    """H.1 on diabetes."""
    return ridge(split(load("diabetes"), seed))


def penalty_for_each_feature(seed: int) -> GroupedPenalties:
    """H.1 on concrete's eight features, a penalty for each."""
    return _penalties(load("concrete"), seed)


def penalty_for_each_product(seed: int) -> GroupedPenalties:
    """H.1 on concrete's features, their squares and their products, 44, a penalty for each."""
    concrete, features = load("concrete"), PolynomialFeatures(degree=2, include_bias=False)
    X = np.asarray(features.fit_transform(np.asarray(StandardScaler().fit_transform(concrete.X))))
    names = tuple(str(name) for name in features.get_feature_names_out(concrete.features))
    return _penalties(Dataset("concrete, degree 2", X, concrete.t, names), seed)


def _penalties(dataset: Dataset, seed: int) -> GroupedPenalties:
    parts = split(dataset, seed)
    n, m = parts.X.shape
    return GroupedPenalties(parts.X, parts.t, parts.X_valid, parts.t_valid, group=tuple(range(m)), divisor=float(n))


def digits(seed: int) -> CountedLogistic:
    """scikit-learn's digits, 8 x 8 pixels averaged to 4 x 4, and a column of ones: decay, smoothing, class weights."""
    data = classified("digits")
    parts = train_test_split(data.X, data.t, test_size=0.2, random_state=seed)
    X, X_valid, t, t_valid = (np.asarray(part) for part in parts)
    scaler = StandardScaler().fit(X)
    X, X_valid = (
        np.column_stack([np.asarray(scaler.transform(features)), np.ones(len(features))]) for features in (X, X_valid)
    )
    return CountedLogistic(X, t, X_valid, t_valid, classes=10, divisor=float(len(t)), h=12)
