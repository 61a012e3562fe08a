"""Appendix H.1: the linear network with Jacobian-norm penalty (H.4)."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.numerics import central_difference, relative_error
from reference.claims.registry import DIFFERENCE, claim
from reference.objective import Scalars
from reference.ridge import Ridge


@claim(
    "H.4",
    "It is ridge in v = W_{d+1}···W_1, the derivative of y in one input row: the same loss at every w, and the same "
    "best outputs.",
    DIFFERENCE,
)
def eqn_h_4(rng: Generator) -> float:
    problem, lam, w = instances.network(rng)
    matrices, row = problem.f.unflatten(w)

    def y(x: np.ndarray) -> Scalars:
        for W in matrices:
            x = W @ x
        return row @ x

    outputs, slope = np.array([y(x) for x in problem.X]), central_difference(y, problem.X[0])
    value = (np.sum((outputs - problem.t) ** 2) + np.exp(lam[0]) * slope @ slope) / (2 * problem.n)
    ridge = Ridge(problem.X, problem.t, problem.X_valid, problem.t_valid, divisor=problem.divisor)
    return max(
        relative_error(problem.train_loss(lam, w), value),
        relative_error(ridge.train_loss(lam, slope), value),
        relative_error(problem.best_output(lam), ridge.best_response(lam)),
        relative_error(problem.outer_loss(lam), ridge.outer_loss(lam)),
    )


@claim(
    "H.4",
    "Its Hessian at a best response is Gauss-Newton's, of rank m; the least-norm Θ = J_vw⁺ dv*/dλ solves Eqn. 2.3's "
    "system, and J_vwΘ = dv*/dλ.",
    DIFFERENCE,
)
def eqn_h_4_jacobian(rng: Generator) -> float:
    problem, lam, _ = instances.network(rng)
    w, Theta = problem.best_response(lam), problem.best_response_jacobian(lam)
    hessian = central_difference(lambda w: problem.grad_w(lam, w), w)
    mixed = central_difference(lambda x: problem.grad_w(x, w), lam)
    least = np.linalg.lstsq(hessian, -mixed, rcond=1e-6)[0]
    rank = np.linalg.matrix_rank(hessian, tol=1e-6 * np.linalg.norm(hessian, 2))
    outputs = central_difference(problem.best_output, lam)
    return max(
        relative_error(problem.hess_wlam(lam, w), mixed),
        relative_error(problem.gauss_newton(lam, w), hessian),
        relative_error(hessian @ Theta, -mixed, hessian),
        relative_error(Theta, least, w),
        relative_error(central_difference(problem.f, w) @ Theta, outputs, problem.best_output(lam)),
        float(rank != problem.X.shape[1]),
    )
