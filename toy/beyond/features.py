"""More features than a data set has: X → tanh(XW + b), W and b random, scaled anew on the training rows.

name     symbol   shape     meaning
W        W        (p, m)    normal, of variance 1/p for p features, so that XW has variance about 1
b        b        (m,)      standard normal
"""

import numpy as np
from sklearn.preprocessing import StandardScaler

from toy.data.split import Split


def random_features(whole: Split, count: int, seed: int) -> Split:
    """The split with `count` random features in place of its own, all scaled as `toy.data.split.split` scales.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> narrow = Split(rng.normal(size=(20, 3)), np.ones(20), np.ones((5, 3)), np.ones(5))
        >>> wide = random_features(narrow, 50, seed=0)
        >>> wide.X.shape, wide.X_valid.shape, abs(wide.X.mean(axis=0)).max() < 1e-12
        ((20, 50), (5, 50), np.True_)
    """
    rng, p = np.random.default_rng(seed), whole.X.shape[-1]
    W, b = rng.standard_normal((p, count)) / np.sqrt(p), rng.standard_normal(count)
    X, X_valid = np.tanh(whole.X @ W + b), np.tanh(whole.X_valid @ W + b)
    scaler = StandardScaler().fit(X)
    return Split(np.asarray(scaler.transform(X)), whole.t, np.asarray(scaler.transform(X_valid)), whole.t_valid)
