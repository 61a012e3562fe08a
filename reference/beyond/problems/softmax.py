"""-(1/n) Σ_i Σ_k Q_ik log p_ik, cross entropy of linear logits, with its gradient and Hessian in the weights.

name     symbol     shape         meaning
X        X          (..., n, p)   n rows of p inputs
Q        Q          (..., n, c)   targets; a row's sum is its weight: 1, or its class's
w        W          (..., m)      W (c, p), one row for each class, flattened: m = cp
p        p_ik       (..., n, c)   softmax of the logits X Wᵀ
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import softmax

from reference.bilevel.objective import Scalars


def cross_entropy(X: Float[ndarray, "... n p"], Q: Float[ndarray, "... n c"], w: Float[ndarray, "... m"]) -> Scalars:
    """-(1/n) Σ_i Σ_k Q_ik log p_ik.

    Example, two classes at w = 0, where every p is a half:
        >>> cross_entropy(np.ones((1, 1)), np.array([[1.0, 0.0]]), np.zeros(2)).round(6), np.log(2).round(6)
        (np.float64(0.693147), np.float64(0.693147))
    """
    return -np.sum(Q * _log_softmax(_logits(X, Q, w)), axis=(-2, -1)) / X.shape[-2]


def cross_entropy_gradient(
    X: Float[ndarray, "... n p"], Q: Float[ndarray, "... n c"], w: Float[ndarray, "... m"]
) -> Float[ndarray, "... m"]:
    """(1/n) Σ_i ((Σ_l Q_il) p_ik - Q_ik) x_i, row k of W; linear in Q."""
    excess = np.sum(Q, axis=-1, keepdims=True) * softmax(_logits(X, Q, w), axis=-1) - Q
    G = excess.mT @ X / X.shape[-2]
    return G.reshape(*G.shape[:-2], -1)


def cross_entropy_hessian(
    X: Float[ndarray, "... n p"], Q: Float[ndarray, "... n c"], w: Float[ndarray, "... m"]
) -> Float[ndarray, "... m m"]:
    """(1/n) Σ_i (Σ_l Q_il) (diag(p_i) - p_i p_iᵀ) ⊗ x_i x_iᵀ.

    The second part is ZᵀZ with rows p_i ⊗ x_i, the first is Xᵀ diag(p_k) X in block (k, k).
    """
    p, (c, m_in) = softmax(_logits(X, Q, w), axis=-1), (Q.shape[-1], X.shape[-1])
    root = np.sqrt(np.sum(Q, axis=-1, keepdims=True))  # of a row's weight, into X
    rows = root * X
    Z = p[..., :, None] * rows[..., :, None, :]
    Z = Z.reshape(*Z.shape[:-2], c * m_in)
    H = -(Z.mT @ Z)
    for k in range(c):
        block = slice(k * m_in, (k + 1) * m_in)
        H[..., block, block] += rows.mT @ Z[..., block]
    return H / X.shape[-2]


def _log_softmax(logits: ndarray) -> ndarray:
    # By log1p: of rows that are told apart log p is next to 0, and as log(1 + ...) would be all rounding.
    below = logits - logits.max(axis=-1, keepdims=True)
    others = np.exp(below)
    np.put_along_axis(others, below.argmax(axis=-1)[..., None], 0.0, axis=-1)
    return below - np.log1p(np.sum(others, axis=-1, keepdims=True))


def _logits(X: ndarray, Q: ndarray, w: ndarray) -> ndarray:
    return X @ w.reshape(*w.shape[:-1], Q.shape[-1], X.shape[-1]).mT
