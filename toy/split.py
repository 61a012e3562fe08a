"""H.1: the data split 80/20 by seed, features and target scaled to zero mean and unit variance on the training rows.

name                symbol            shape
X, t                X, t              (n, m), (n,)
X_valid, t_valid    X_valid, t_valid  (v, m), (v,)
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from toy.datasets import Dataset


@dataclass(frozen=True)
class Split:
    """Scaled training and validation data; `stack` gives several of them a leading axis."""

    X: Float[ndarray, "... n m"]
    t: Float[ndarray, "... n"]
    X_valid: Float[ndarray, "... v m"]
    t_valid: Float[ndarray, "... v"]


def split(dataset: Dataset, seed: int) -> Split:
    """`train_test_split(X, t, test_size=0.2, random_state=seed)`, then StandardScaler fitted on the training rows."""
    parts = train_test_split(dataset.X, dataset.t, test_size=0.2, random_state=seed)
    X, X_valid, t, t_valid = (np.asarray(part) for part in parts)
    inputs, target = StandardScaler().fit(X), StandardScaler().fit(t[:, None])
    scaled = (inputs.transform(X), target.transform(t[:, None]), inputs.transform(X_valid))
    X, t, X_valid, t_valid = (np.asarray(part) for part in (*scaled, target.transform(t_valid[:, None])))
    return Split(X, t[:, 0], X_valid, t_valid[:, 0])


def stack(splits: list[Split]) -> Split:
    """Splits of equal shapes as one, the leading axis running over them."""
    return Split(*(np.stack([getattr(one, field.name) for one in splits]) for field in fields(Split)))
