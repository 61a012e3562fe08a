"""Section 3.1: the centred parameterisation and the Gauss-Newton matrices (Eqns. 3.1 to 3.3)."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import central_difference, differs, relative_error
from reference.rule.hypernet import centred_weights, homogeneous, uncentred_weights
from reference.rule.perturbation import expectation


@claim("3.1", "It is the same map as Eqn. 2.6, with Φ = Θ and φ0 = w0 - Θλ0, and r_θ(λ0, λ0) = w0.", EXACT)
def eqn_3_1(rng: Generator) -> float:
    point = instances.setting(rng, *instances.quadratic(rng))
    lam0 = rng.normal(size=point.lam.shape)
    centred = centred_weights(point.Theta, point.w0, point.lam, lam0)
    uncentred = uncentred_weights(point.Theta, point.w0 - point.Theta @ lam0, point.lam)
    here = relative_error(centred_weights(point.Theta, point.w0, lam0, lam0), point.w0)
    return max(relative_error(centred, uncentred, point.Theta @ lam0), here)


@claim(
    "3.2",
    "G_w = JᵀHJ is the Hessian without the curvature of the network: equal where the gradient in the outputs "
    "vanishes (a fitted linear network), and not elsewhere.",
    DIFFERENCE,
)
def eqn_3_2(rng: Generator) -> Measured:
    problem, lam, w = instances.network(rng)
    matrices, _ = problem.f.unflatten(w)
    fitted_row = np.linalg.solve((matrices[1] @ matrices[0]).T, problem.best_output(lam))
    fitted = problem.f.flatten(matrices, fitted_row)

    def hessian(point: np.ndarray) -> np.ndarray:
        return central_difference(lambda x: problem.grad_w(lam, x), point)

    elsewhere = relative_error(problem.gauss_newton(lam, w), hessian(w))
    residual = max(
        relative_error(problem.gauss_newton(lam, fitted), hessian(fitted), problem.gauss_newton(lam, w)),
        relative_error(problem.hess_ww(lam, w), hessian(w)),
    )
    detail = f"at unfitted weights G_w is off by {elsewhere:.2g} of the Hessian"
    return Measured(max(residual, differs(elsewhere)), detail)


@claim(
    "Observation 1, 3.3, C.1-C.3, C.5",
    "The Gauss-Newton matrix in φ = (Φ, φ0), stacked column by column, is E[λ̂λ̂ᵀ ⊗ JᵀHJ], since J_yφ = λ̂ᵀ ⊗ J_yw.",
    DIFFERENCE,
)
def observation_1(rng: Generator) -> float:
    problem, lam, w = instances.network(rng, depth=1)
    phi, sigma = np.column_stack([0.3 * rng.normal(size=w.size), w]), rng.uniform(0.2, 1.0, 1)

    def J_yphi(hat: np.ndarray) -> np.ndarray:
        return central_difference(lambda x: problem.f(x.reshape(phi.shape, order="F") @ hat), phi.ravel(order="F"))

    def directly(eps: np.ndarray) -> np.ndarray:
        hat = homogeneous(lam + eps)
        J = J_yphi(hat)
        return J.T @ problem.train_hess_vv(lam + eps, problem.f(phi @ hat)) @ J

    def kronecker(eps: np.ndarray) -> np.ndarray:
        hat = homogeneous(lam + eps)
        return np.kron(np.outer(hat, hat), problem.gauss_newton(lam + eps, phi @ hat))

    hat = homogeneous(lam)
    return max(
        relative_error(np.kron(hat, problem.f.jacobian(phi @ hat)), J_yphi(hat)),
        relative_error(expectation(kronecker, sigma, nodes=4), expectation(directly, sigma, nodes=4)),
    )
