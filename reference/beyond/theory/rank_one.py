"""Eqn. 3.14 for one output unit: ΔW = (uᵀε) W_response, a Jacobian of rank one, and the best that it can stand for.

name     symbol        shape        meaning
r        W_response    (..., m)     the unit's second row of weights
u        u             (..., h)     its U
Theta    Θ*            (..., m, h)  the exact best-response Jacobian
H        ∂²L_T/∂w²     (..., m, m)  positive definite
sigma    σ             (..., h)     perturbation scale

For L_T quadratic in (λ, w), Eqn. 3.10 is ½ tr(Σ (Θ - Θ*)ᵀ H (Θ - Θ*)) and a constant, Σ = diag(σ²), for any w0
(Theorem 3's gradient, C.25, is its gradient); for others to leading order in σ, at w0 = r(λ). Of all ruᵀ its least is a
truncated singular value decomposition in that metric: that of Lᵀ Θ* Σ^½ with H = LLᵀ. In the plain (Frobenius) norm it
is that of Θ* itself (Eckart and Young).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.beyond.control_variate.normalised import per_variance, root_mean_square
from reference.bilevel.objective import Scalars
from reference.rule.hypernet import Response


@dataclass(frozen=True)
class OneUnit(Response):
    """Eqn. 3.14 for one unit without bias: Θ = r uᵀ.

    Example:
        >>> unit = OneUnit(r=np.array([1.0, 2.0]), u=np.array([10.0, 0.0]))
        >>> unit.apply(np.array([1.0, 5.0]))
        array([10., 20.])
        >>> unit.adjoint(np.array([3.0, 1.0]))
        array([50.,  0.])
    """

    r: Float[ndarray, "... m"]
    u: Float[ndarray, "... h"]

    def apply(self, c: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """(uᵀc) r."""
        return np.vecdot(self.u, c)[..., None] * self.r

    def gradient(self, c: Float[ndarray, "... h"], g: Float[ndarray, "... m"]) -> "OneUnit":
        """(uᵀc) g and (rᵀg) c."""
        return OneUnit(np.vecdot(self.u, c)[..., None] * g, np.vecdot(self.r, g)[..., None] * c)

    def adjoint(self, g: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        """(rᵀg) u."""
        return np.vecdot(self.r, g)[..., None] * self.u

    @property
    def Theta(self) -> Float[ndarray, "... m h"]:
        """The full Θ of Eqn. 3.1 that this stands for."""
        return self.r[..., :, None] * self.u[..., None, :]


@per_variance.register(OneUnit)
def one_unit(gradient: OneUnit, sigma: Float[ndarray, "... h"]) -> OneUnit:
    """u element by element; r, which serves every λ_j, by the mean of σ²."""
    common = root_mean_square(sigma)
    return OneUnit(gradient.r / common / common, gradient.u / sigma / sigma)


def nearest(Theta: Float[ndarray, "... m h"]) -> OneUnit:
    """The ruᵀ of least ‖ruᵀ - Θ‖, the length of it in u.

    Example, of two hyperparameters that move a weight each, the one that moves it more:
        >>> unit = nearest(np.diag([1.0, 3.0]))
        >>> abs(unit.Theta)
        array([[0., 0.],
               [0., 3.]])
    """
    U, s, Vh = np.linalg.svd(Theta, full_matrices=False)
    return OneUnit(U[..., :, 0], s[..., :1] * Vh[..., 0, :])


def least_loss(
    Theta: Float[ndarray, "... m h"], H: Float[ndarray, "... m m"], sigma: Float[ndarray, "... h"]
) -> OneUnit:
    """The ruᵀ that Eqn. 3.10 would descend to: of least tr(Σ (ruᵀ - Θ)ᵀ H (ruᵀ - Θ)).

    For a loss that is quadratic in (λ, w); for others as σ → 0.

    Raises:
        numpy.linalg.LinAlgError: H is not positive definite.

    Example, as above, but the loss feels the first weight a hundred times as much:
        >>> unit = least_loss(np.diag([1.0, 3.0]), np.diag([100.0, 1.0]), np.ones(2))
        >>> abs(unit.Theta).round(12)
        array([[1., 0.],
               [0., 0.]])
    """
    L = np.linalg.cholesky(H)
    factors = nearest(L.mT @ Theta * sigma[..., None, :])
    return OneUnit(np.linalg.solve(L.mT, factors.r[..., None])[..., 0], factors.u / sigma)


def excess(
    Theta: Float[ndarray, "... m h"],
    Theta_star: Float[ndarray, "... m h"],
    H: Float[ndarray, "... m m"],
    sigma: Float[ndarray, "... h"],
) -> Scalars:
    """½ tr(Σ (Θ - Θ*)ᵀ H (Θ - Θ*)): by how much Eqn. 3.10 at Θ lies above its least.

    For a loss that is quadratic in (λ, w); for others to leading order in σ.

    Example, ½ · 2² · 3 · 1²:
        >>> float(excess(np.array([[1.0]]), np.array([[0.0]]), np.array([[3.0]]), np.array([2.0])))
        6.0
    """
    off = (Theta - Theta_star) * sigma[..., None, :]
    return np.sum(off * (H @ off), axis=(-2, -1)) / 2
