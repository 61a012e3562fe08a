"""K x = b by Gaussian elimination in a hundred decimal digits, for what float64 cannot answer to eight.

    name     symbol   shape      meaning
    X, t     X, t     (..., n, m), (..., n)
    K        K        (m, m)     symmetric, positive definite
    B        B        (m, q)     right-hand sides

Numbers are Python's `decimal.Decimal` in arrays of objects: slow, so that it is kept for the rare ill-conditioned case.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property

import numpy as np
from jaxtyping import Float, Shaped
from numpy import ndarray

DIGITS = 100

LARGEST_CONDITION = 1e6
"""A condition number up to which float64 leaves ten digits."""

SINGULAR = Decimal("1e-40")
"""A pivot that elimination has brought below this part of the diagonal's entry is what rounding has left of 0."""


@contextmanager
def hundred_digits() -> Iterator[None]:
    """Decimal arithmetic with DIGITS digits."""
    with localcontext(prec=DIGITS):
        yield


@dataclass(frozen=True)
class Gram:
    """XᵀX and Xᵀt in decimals, computed once for each replicate that needs them."""

    X: Float[ndarray, "... n m"]
    t: Float[ndarray, "... n"]

    def replicate(self, index: tuple[int, ...]) -> tuple[Shaped[ndarray, "m m"], Shaped[ndarray, "m"]]:
        """Those of the replicate at `index`, which may have axes before the replicates'."""
        lead = self.X.shape[:-2]
        place = index[len(index) - len(lead) :]
        if place not in self._known:
            X, t = decimals(self.X[place]), decimals(self.t[place])
            self._known[place] = X.T @ X, X.T @ t
        return self._known[place]

    @cached_property
    def _known(self) -> dict[tuple[int, ...], tuple[ndarray, ndarray]]:
        return {}


def decimals(values: ndarray) -> Shaped[ndarray, "..."]:
    """An array of floats as the decimal numbers that they are, exactly."""
    exact = np.empty(values.size, dtype=object)
    exact[:] = [Decimal(float(value)) for value in values.flat]
    return exact.reshape(values.shape)


def solve(K: Shaped[ndarray, "m m"], B: Shaped[ndarray, "m q"]) -> Shaped[ndarray, "m q"]:
    """K⁻¹B in decimals, without pivoting, which a positive definite matrix does not need.

    Raises:
        ValueError: K is not positive definite.

    Example:
        >>> solve(decimals(np.array([[2.0, 1.0], [1.0, 2.0]])), decimals(np.array([[3.0], [3.0]]))).ravel()
        array([Decimal('1'), Decimal('1')], dtype=object)
    """
    K, X, diagonal = K.copy(), B.copy(), np.diag(K).copy()
    m = len(K)
    for j in range(m):
        if not K[j, j] > SINGULAR * diagonal[j]:
            raise ValueError("the matrix is not positive definite: no minimum, or no unique one")
        factors = K[j + 1 :, j] / K[j, j]
        K[j + 1 :] -= np.outer(factors, K[j])
        X[j + 1 :] -= np.outer(factors, X[j])
    for j in reversed(range(m)):
        X[j] = (X[j] - K[j, j + 1 :] @ X[j + 1 :]) / K[j, j]
    return X


def to_eight_digits(K: Float[ndarray, "... m m"], B: Float[ndarray, "... m q"]) -> Float[ndarray, "... m q"]:
    """K⁻¹B, K and B being exact and K positive definite: in float64, or in decimals where K's condition asks for them.

    Raises:
        ValueError: K is not positive definite, or a number is not finite.

    Example, K of condition 2e15:
        >>> to_eight_digits(np.array([[1.0, 1.0], [1.0, 1.0 + 2**-50]]), np.array([[1.0], [2.0]]))[0, 0] == 1 - 2.0**50
        np.True_
    """
    *lead, m, q = np.broadcast_shapes(K.shape, (*B.shape[:-1], K.shape[-1]))[:-1] + B.shape[-1:]
    K, B = np.broadcast_to(K, (*lead, m, m)), np.broadcast_to(B, (*lead, m, q))
    if not (np.isfinite(K).all() and np.isfinite(B).all()):
        raise ValueError("a number is not finite: there is no solution")
    eigenvalues = np.linalg.eigvalsh(K)
    unsure = np.asarray(~(eigenvalues[..., 0] * LARGEST_CONDITION >= eigenvalues[..., -1]))
    if not unsure.any():
        return np.linalg.solve(K, B)
    answer = np.empty(B.shape)
    with hundred_digits():
        for index in np.ndindex(*lead):
            answer[index] = (
                solve(decimals(K[index]), decimals(B[index])).astype(float)
                if unsure[index]
                else np.linalg.solve(K[index], B[index])
            )
    return answer
