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

from reference.console.command import UserError
from toy.data.datasets import Dataset
from toy.data.tables import LARGEST


@dataclass(frozen=True)
class Split:
    """Scaled training and validation data; `stack` gives several of them a leading axis."""

    X: Float[ndarray, "... n m"]
    t: Float[ndarray, "... n"]
    X_valid: Float[ndarray, "... v m"]
    t_valid: Float[ndarray, "... v"]


def split(dataset: Dataset, seed: int) -> Split:
    """`train_test_split(X, t, test_size=0.2, random_state=seed)`, then StandardScaler fitted on the training rows.

    Raises:
        UserError: the target is constant over the training rows, or a validation row is so far from them that its
            square overflows.
    """
    parts = train_test_split(dataset.X, dataset.t, test_size=0.2, random_state=seed)
    X, X_valid, t, t_valid = (np.asarray(part) for part in parts)
    inputs, target = StandardScaler().fit(X), StandardScaler().fit(t[:, None])
    scaled = (inputs.transform(X), target.transform(t[:, None]), inputs.transform(X_valid))
    X, t, X_valid, t_valid = (np.asarray(part) for part in (*scaled, target.transform(t_valid[:, None])))
    # StandardScaler leaves what is constant with a variance of 0, or of rounding alone, and gives the rest one of 1.
    if t.var() < 0.5:
        raise UserError(f"{dataset.name}: the target is constant over the training rows of seed {seed}; give more rows")
    if max(np.abs(X_valid).max(), np.abs(t_valid).max()) > LARGEST:
        raise UserError(f"{dataset.name}: a row is too far from the training rows of seed {seed}; leave outliers out")
    return Split(X, t[:, 0], X_valid, t_valid[:, 0])


def stack(splits: list[Split]) -> Split:
    """Splits of equal shapes as one, the leading axis running over them."""
    return Split(*(np.stack([getattr(part, field.name) for part in splits]) for field in fields(Split)))
