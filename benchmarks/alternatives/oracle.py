"""L_V(λ, r(λ)) and its slope, exactly, for whoever searches or descends on it; every use is paid for.

name      symbol         shape    meaning
r         r(λ)           (m,)     best response
g         ∂L_V/∂w        (m,)     at r(λ)
z         H⁻¹g           (m,)     the adjoint: Eqn. 2.4 from the right, one more solution with the matrix of r(λ)
"""

import numpy as np
from numpy import ndarray

from benchmarks.alternatives import prices
from benchmarks.alternatives.problems import CountedLogistic, Tuned
from reference.beyond.estimators.price import LOSS, PRODUCT


class Oracle:
    """One problem's outer loss; `price` is what it has cost so far.

    Example, r(λ) = 1/(1 + e^λ) and L_V = r²/2 at λ = 0:
        >>> from reference.problems.ridge import Ridge
        >>> eye = np.eye(1)
        >>> oracle = Oracle(Ridge(eye, np.ones(1), eye, np.zeros(1), divisor=1.0))
        >>> oracle.loss(np.zeros(1)), oracle.loss_and_gradient(np.zeros(1))
        (0.125, (0.125, array([-0.125])))
    """

    def __init__(self, problem: Tuned) -> None:
        self.problem = problem
        self.n, self.m = size(problem)
        # A linear model forms XᵀX once and for all.
        self.price = 0.0 if isinstance(problem, CountedLogistic) else prices.forming(self.n, self.m)

    def loss(self, lam: ndarray) -> float:
        """L_V(λ, r(λ))."""
        return float(self.problem.valid_loss(lam, self._response(lam)))

    def loss_and_gradient(self, lam: ndarray) -> tuple[float, ndarray]:
        """L_V(λ, r(λ)) and dL_V/dλ; the network is the identity, so that H_y is ∂²L_T/∂w²."""
        r = self._response(lam)
        g = self.problem.valid_grad_w(lam, r)
        z = np.linalg.solve(self.problem.train_hess_vv(lam, r), g)
        # The loss comes along with its gradient, and the last factorisation serves once more.
        self.price += 1.0 - LOSS + PRODUCT + prices.algebra(2 * self.m**2, self.n, self.m)
        slope = self.problem.valid_grad_lam(lam, r) - np.vecmat(z, self.problem.train_hess_vlam(lam, r))
        return float(self.problem.valid_loss(lam, r)), slope

    def _response(self, lam: ndarray) -> ndarray:
        """r(λ); for Newton's method the price is what it asked for."""
        if not isinstance(self.problem, CountedLogistic):
            self.price += prices.solving(self.n, self.m) + LOSS
            return self.problem.best_response(lam)
        calls = self.problem.calls
        calls.clear()
        r = self.problem.best_response(lam)
        step = prices.forming(self.n, self.m) + prices.solving(self.n, self.m)
        self.price += calls["hessian"] * step + calls["gradient"] + (calls["loss"] + 1) * LOSS
        return r


def size(problem: Tuned) -> tuple[int, int]:
    """n and m."""
    columns = problem.X.shape[-1]
    return problem.n, columns * problem.classes if isinstance(problem, CountedLogistic) else columns
