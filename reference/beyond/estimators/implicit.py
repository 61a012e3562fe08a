"""Eqns. 2.3 and 2.4 at w by the adjoint: dL_V/dλ = ∂L_V/∂λ - uᵀB, Hu = ∂L_V/∂w, H = ∂²L_T/∂w², B = ∂²L_T/∂w∂λ.

name       symbol        shape    meaning
g          ∂L_V/∂w       (m,)
u          H⁻¹g          (m,)     one system, however many hyperparameters
k          k             ()       products with H that the budget buys
alpha      α             ()       step size of the Neumann series

    Cholesky             H column by column, factorised
    ConjugateGradient    the u of the Krylov space of k products that has the least error in the norm of H
    Neumann              α Σ_{j≤k} (I - αH)^j g, whose error is (I - αH)^{k+1} u: a geometric tail
    OneStep              αg, the series' first term (T1-T2, Luketina et al. 2016)

With mini-batches the Neumann series draws rows for each term (its mean is the full one's), while Cholesky and conjugate
gradient need one H and so solve the system of one batch. All are exact only at w = r(λ).
"""

from abc import abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray
from scipy.linalg import cho_factor, cho_solve

from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.price import PRODUCT, Inner, affordable
from reference.beyond.estimators.solvers import conjugate_gradient, neumann


class Implicit(Estimator):
    """The implicit function theorem with some approximation of u = H⁻¹g."""

    def hypergradient(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "h"]:
        u = self.solve(inner, lam, w, inner.valid_grad_w(lam, w), budget)
        return inner.problem.valid_grad_lam(lam, w) - inner.draw().cross_vec(lam, w, u)

    @abstractmethod
    def solve(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], g: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "m"]:
        """About H⁻¹g."""

    def products(self, inner: Inner, budget: float) -> int:
        """How many products with H the budget buys, beside the validation gradient and the product with B."""
        product = PRODUCT * inner.share
        return affordable(budget, 1.0 + product, product)


@dataclass(frozen=True)
class Cholesky(Implicit):
    """H by m products, one for each column, factorised: m³/3 operations, and 2m² for the solution.

    Raises:
        numpy.linalg.LinAlgError: H is not positive definite: w is no minimum of the training loss.
    """

    def solve(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], g: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "m"]:
        m = len(w)
        inner.price += m * PRODUCT * inner.share
        inner.operations(m**3 / 3 + 2 * m**2)
        return cho_solve(cho_factor(inner.draw().problem.hess_ww(lam, w)), g)


@dataclass(frozen=True)
class ConjugateGradient(Implicit):
    """Conjugate gradient from u = 0, for k products or until ‖g - Hu‖ ≤ tolerance ‖g‖.

    Args:
        tolerance: the least that rounding leaves is about machine epsilon times H's condition number.
    """

    tolerance: float = 0.0

    @property
    def name(self) -> str:
        return "conjugate gradient"

    def solve(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], g: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "m"]:
        batch = inner.draw()
        return conjugate_gradient(lambda p: batch.hess_vec(lam, w, p), g, self.products(inner, budget), self.tolerance)


@dataclass(frozen=True)
class Neumann(Implicit):
    """The truncated Neumann series, which is gradient descent on ½uᵀHu - gᵀu from αg (Lorraine et al. 2020).

    Args:
        alpha: α; the series converges where α is below 2/(the largest eigenvalue of H), and diverges above.
    """

    alpha: float

    def solve(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], g: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "m"]:
        return neumann(lambda p: inner.draw().hess_vec(lam, w, p), g, self.products(inner, budget), self.alpha)


@dataclass(frozen=True)
class OneStep(Implicit):
    """T1-T2: H⁻¹ replaced by α, the learning rate of the weights' last step (Luketina et al. 2016)."""

    alpha: float

    @property
    def name(self) -> str:
        return "T1-T2"

    def solve(
        self, inner: Inner, lam: Float[ndarray, "h"], w: Float[ndarray, "m"], g: Float[ndarray, "m"], budget: float
    ) -> Float[ndarray, "m"]:
        return self.alpha * g
