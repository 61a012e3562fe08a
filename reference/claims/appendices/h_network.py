"""Appendix H.1: the linear network with Jacobian-norm penalty (H.4)."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reference.bilevel.objective import Scalars
from reference.claims import instances
from reference.claims.registry import DIFFERENCE, claim
from reference.claims.routes import central_difference, relative_error
from reference.problems.ridge import Ridge


@claim(
    "H.4",
    "With ‖∂y/∂X‖² over all n rows it is figure 8's undivided ridge in v = W_{d+1}···W_1, with one row's it is H.1's "
    "at λ + log n: the same losses at every w, best outputs and outer losses.",
    DIFFERENCE,
)
def eqn_h_4(rng: Generator) -> float:
    divided, shifted, w = instances.network(rng)
    problem, lam = replace(divided, divisor=1.0), shifted - np.log(divided.n)
    matrices, row = problem.f.unflatten(w)

    def y(x: np.ndarray) -> Scalars:
        for W in matrices:
            x = W @ x
        return row @ x

    outputs, slopes = np.array([y(x) for x in problem.X]), np.array([central_difference(y, x) for x in problem.X])
    value = (np.sum((outputs - problem.t) ** 2) + np.exp(lam[0]) * np.sum(slopes**2)) / (2 * problem.n)
    ridge = Ridge(problem.X, problem.t, problem.X_valid, problem.t_valid, divisor=1.0)
    return max(
        relative_error(problem.train_loss(lam, w), value),
        relative_error(divided.train_loss(shifted, w), value),
        relative_error(ridge.train_loss(lam, slopes[0]), value),
        relative_error(problem.best_output(lam), ridge.best_response(lam)),
        relative_error(divided.best_output(shifted), ridge.best_response(lam)),
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
