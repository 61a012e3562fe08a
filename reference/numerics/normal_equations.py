"""Ridge's normal equations, (XᵀX + p D) x = b, to eight digits: by singular values, or in a hundred decimals.

    name      symbol           shape        meaning
    gram      X, t             (..., n, m), (..., n)
    d         D                (..., m)     the metric, a positive diagonal
    p         p                (..., 1)     weight of the penalty; below 0 where K stays positive definite
    K         K                (..., m, m)  XᵀX + p D
    U, s, Vt  X D^-½ = U S Vᵀ  (..., k)     once for each problem, k = min(n, m)
    tau       Uᵀt              (..., k)
    kappa     s² + p           (..., k)     eigenvalues of D^-½ K D^-½; where m > k, p is one, too

XᵀX is never rounded to a matrix, which would lose twice the digits of X. What the decomposition leaves uncertain is
bounded to first order: it is exact for some X + δX with ‖δX‖ ≤ δ = 10 eps ‖X‖. An answer x whose bound is above
TOLERANCE, relative to ‖x‖ or to its predictions ‖Xx‖, is computed anew by elimination in decimals.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.numerics.elimination import Gram, decimals, hundred_digits, solve

TOLERANCE = 1e-8
"""Of the answer's norm, and of its predictions': what the bound may reach before decimals are needed."""

SMALLEST = np.finfo(float).tiny / np.finfo(float).eps
"""Of a feature's d: a sum of squares below this has lost digits to underflow."""

LARGEST = 200
"""Weights for which elimination in decimals is still a matter of seconds."""

Index = tuple[int, ...]

BACKWARD = 10 * np.finfo(float).eps
"""Backward error of a singular value decomposition, relative to the largest singular value."""

ROUNDED = 4 * np.finfo(float).eps
"""What products and differences of rounded numbers leave uncertain of p, relative to it."""


@dataclass(frozen=True)
class NormalEquations:
    """K = XᵀX + p D, for one X and any p.

    Raises:
        ValueError: a feature's d is not positive.

    Example, X = I, D = I and p = 1, so that K = 2I:
        >>> equations = NormalEquations(Gram(np.eye(2), np.array([2.0, 4.0])), np.ones(2))
        >>> equations.fit(np.array([1.0]))
        array([1., 2.])
        >>> equations.solve(np.array([1.0]), np.array([[6.0], [0.0]]))[:, 0]
        array([3., 0.])
    """

    gram: Gram
    d: Float[ndarray, "... m"]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.d) & (self.d >= SMALLEST)).all():
            raise ValueError(
                "a feature's penalty is not positive and finite: λ is too far out, or its column is 0 or next to it"
            )

    @cached_property
    def root(self) -> Float[ndarray, "... m"]:
        """D^½."""
        return np.sqrt(self.d)

    @cached_property
    def svd(self) -> tuple[Float[ndarray, "... n k"], Float[ndarray, "... k"], Float[ndarray, "... k m"]]:
        """U, s, Vᵀ."""
        return np.linalg.svd(self.gram.X / self.root[..., None, :], full_matrices=False)

    @cached_property
    def tau(self) -> Float[ndarray, "... k"]:
        """Uᵀt."""
        return np.vecmat(self.gram.t, self.svd[0])

    @cached_property
    def beyond(self) -> Float[ndarray, "... 1"]:
        """‖t - UUᵀt‖, the part of t that no weights reach."""
        n, k = self.svd[0].shape[-2:]
        return _norm(self.gram.t - np.matvec(self.svd[0], self.tau)) if n > k else np.zeros((*self.tau.shape[:-1], 1))

    def fit(self, p: Float[ndarray, "... 1"]) -> Float[ndarray, "... m"]:
        """K⁻¹Xᵀt, the minimiser of ½‖Xw - t‖² + ½p wᵀDw.

        Raises:
            ValueError: p is not finite, or K not positive definite.
        """
        s, (kappa, _, _) = self.svd[1], self._spectrum(p)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            answer = np.vecmat(s / kappa * self.tau, self.svd[2]) / self.root

        def in_decimals(K: ndarray, A: ndarray, b: ndarray, *_: object) -> ndarray:
            return solve(K, b[:, None]).T

        return self._checked(p, answer[..., None, :], self._fit_bound(p)[..., None, :], in_decimals)[..., 0, :]

    def twice(
        self, p: Float[ndarray, "... 1"], p1: Float[ndarray, "... 1"], a: Float[ndarray, "... 1"]
    ) -> Float[ndarray, "... m"]:
        """a K₁⁻¹ D K⁻¹Xᵀt, with K₁ = XᵀX + p₁ D and p₁ ≥ p. Raises as `fit` does."""
        s, tau = self.svd[1], self.tau
        (kappa, _, delta), (kappa1, least1, _) = self._spectrum(p), self._spectrum(p1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = a / kappa1 * (s / kappa) * tau
            bound = abs(a) / least1 * self._fit_bound(p)
            bound = bound + delta * (_norm(s * inside) / least1 + _largest(s / kappa1) * _norm(inside))
            answer = np.vecmat(inside, self.svd[2]) / self.root

        def in_decimals(K: ndarray, A: ndarray, b: ndarray, D: ndarray, index: Index, _: ndarray) -> ndarray:
            a_i, p1_i = (decimals(np.broadcast_to(part, (*answer.shape[:-1], 1))[index]) for part in (a, p1))
            return solve(A + np.diag(p1_i * D), a_i * D[:, None] * solve(K, b[:, None])).T

        return self._checked(p, answer[..., None, :], bound[..., None, :], in_decimals)[..., 0, :]

    def combination(
        self, p: Float[ndarray, "... 1"], a: Float[ndarray, "... 1"], c: Float[ndarray, "... 1"]
    ) -> Float[ndarray, "... m"]:
        """K⁻¹ (a XᵀX + c D) K⁻¹Xᵀt = D^-½ V (s (a s² + c) / (s² + p)²) Uᵀt. Raises as `fit` does.

        It is a K⁻¹Xᵀt + (c - ap) K⁻¹DK⁻¹Xᵀt, whose parts have each a bound.
        """
        s, tau = self.svd[1], self.tau
        kappa, least, delta = self._spectrum(p)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            answer = np.vecmat((a * s**2 + c) / kappa * (s / kappa) * tau, self.svd[2]) / self.root
            slope = (
                (_norm((p / kappa) ** 2 * tau) + self.beyond) / least / least
                + _largest(s / kappa) ** 2 * _norm((s / kappa) ** 2 * tau)
                + _largest(s / kappa) * _norm(s / kappa * tau / kappa)
                + _largest(s / kappa / kappa) * _norm(s / kappa * tau)
            )
            bound = abs(a) * self._fit_bound(p) + abs(c - a * p) * delta * slope

        def in_decimals(K: ndarray, A: ndarray, b: ndarray, D: ndarray, index: Index, _: ndarray) -> ndarray:
            a_i, c_i = (decimals(np.broadcast_to(part, (*answer.shape[:-1], 1))[index]) for part in (a, c))
            w = solve(K, b[:, None])
            return solve(K, a_i * (A @ w) + c_i * D[:, None] * w).T

        return self._checked(p, answer[..., None, :], bound[..., None, :], in_decimals)[..., 0, :]

    def slopes(self, p: Float[ndarray, "... 1"], groups: Float[ndarray, "m h"]) -> Float[ndarray, "... m h"]:
        """The derivatives of `fit` in the logarithms of the groups' weights, -p K⁻¹ D (groups ⊙ K⁻¹Xᵀt).

        Args:
            groups: 1 where a feature belongs to a group, and 0 elsewhere.
        """
        right = -p[..., None] * self.d[..., None] * self.fit(p)[..., None] * groups

        def in_decimals(K: ndarray, A: ndarray, b: ndarray, D: ndarray, index: Index, columns: ndarray) -> ndarray:
            weight = decimals(np.broadcast_to(p, (*right.shape[:-2], 1))[index])
            return solve(K, -weight * D[:, None] * solve(K, b[:, None]) * decimals(groups[:, columns])).T

        return self._solve(p, right.mT, (abs(p) * self._fit_bound(p))[..., None, :], in_decimals)

    def solve(self, p: Float[ndarray, "... 1"], b: Float[ndarray, "... m q"]) -> Float[ndarray, "... m q"]:
        """K⁻¹b for right-hand sides of any kind. Raises as `fit` does."""
        rows = b.mT
        lead = np.broadcast_shapes(self.tau.shape[:-1], p.shape[:-1], rows.shape[:-2])

        def in_decimals(K: ndarray, A: ndarray, b: ndarray, D: ndarray, index: Index, columns: ndarray) -> ndarray:
            return solve(K, decimals(np.broadcast_to(rows, (*lead, *rows.shape[-2:]))[index][columns]).T).T

        return self._solve(p, rows, np.zeros(1), in_decimals)

    def _solve(self, p: ndarray, rows: ndarray, uncertain: ndarray, in_decimals: Callable[..., ndarray]) -> ndarray:
        # `uncertain` bounds the error of D^-½ b; its rounding comes to that.
        s, Vt = self.svd[1][..., None, :], self.svd[2]
        kappa, least, delta = (part[..., None, :] for part in self._spectrum(p))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            b_D = rows / self.root[..., None, :]
            inside = b_D @ Vt.mT
            answer = (inside / kappa) @ Vt
            if self.gram.X.shape[-1] > s.shape[-1]:
                outside = b_D - inside @ Vt
                answer = answer + (outside - (outside @ Vt.mT) @ Vt) / p[..., None, :]
            change = _norm(s * inside / kappa) / least + _largest(s / kappa) * _norm(answer)
            bound = delta * change + (BACKWARD * _norm(b_D) + uncertain) / least
        return self._checked(p, answer / self.root[..., None, :], bound, in_decimals).mT

    def _fit_bound(self, p: ndarray) -> ndarray:
        s, tau = self.svd[1], self.tau
        kappa, least, delta = self._spectrum(p)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            residual = _norm(p * tau / kappa) + self.beyond
            return delta * (residual / least + _largest(s / kappa) * _norm(s * tau / kappa))

    def _spectrum(self, p: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """kappa, the least eigenvalue of D^-½ K D^-½, and δ."""
        s = self.svd[1]
        kappa = s**2 + p
        if not np.isfinite(kappa).all():
            raise ValueError("the penalty is not finite: there is no best response")
        least = np.minimum(kappa[..., -1:], p) if self.gram.X.shape[-1] > s.shape[-1] else kappa[..., -1:]
        return kappa, np.where(least > 0, least, np.nan), BACKWARD * s[..., :1]

    def _checked(
        self,
        p: Float[ndarray, "... 1"],
        answers: Float[ndarray, "... q m"],
        bounds: Float[ndarray, "... q 1"],
        in_decimals: Callable[..., ndarray],
    ) -> Float[ndarray, "... q m"]:
        """The answers, with those that their bounds leave uncertain computed in decimals.

        Eight digits of x and of Xx: where columns differ much in scale the first do not give the second.

        Args:
            bounds: of the error in D^½ x; NaN where K is not seen to be positive definite.
        """
        s, root = self.svd[1][..., None, :], self.root[..., None, :]
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = _norm(s * ((answers * root) @ self.svd[2].mT))
            in_norm = bounds * _largest(1 / root) < TOLERANCE * _norm(answers)
            in_outputs = bounds * _largest(s) < TOLERANCE * outputs
        unsure = ~(in_norm & in_outputs | (answers == 0).all(axis=-1, keepdims=True) & (bounds == 0))[..., 0]
        if not unsure.any():
            return answers
        *lead, _, m = answers.shape
        if m > LARGEST:  # too many for decimals: eight digits of all right-hand sides together
            errors, whole = bounds * _largest(1 / root), np.linalg.norm(answers, axis=(-2, -1))
            if (np.linalg.norm(errors, axis=(-2, -1)) < TOLERANCE * whole).all():
                return answers
            raise ValueError(f"fewer than eight digits are sure, and {m} weights are too many for decimals")
        answers, p, d = answers.copy(), np.broadcast_to(p, (*lead, 1)), np.broadcast_to(self.d, (*lead, m))
        with hundred_digits():
            for index in (place for place in np.ndindex(*lead) if unsure[place].any()):
                A, b = self.gram.replicate(index)
                D, columns = decimals(d[index]), np.flatnonzero(unsure[index])
                weight = decimals(p[index]) * D
                answer = in_decimals(A + np.diag(weight), A, b, D, index, columns).astype(float)
                if p[index] < 0:  # so near to -s² that it matters how p itself was rounded?
                    nearby = A + np.diag(weight * decimals(np.array(1 - ROUNDED)))
                    change = in_decimals(nearby, A, b, D, index, columns).astype(float) - answer
                    if (_norm(change) > TOLERANCE * _norm(answer)).any():
                        raise ValueError("the penalty is minus an eigenvalue of XᵀX, or next to it: raise the penalty")
                answers[index][columns] = answer
        return answers


def _norm(x: ndarray) -> ndarray:
    return np.linalg.norm(x, axis=-1, keepdims=True)


def _largest(x: ndarray) -> ndarray:
    return np.max(np.abs(x), axis=-1, keepdims=True)
