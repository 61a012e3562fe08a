"""Appendix D: the Jacobian of the perturbed problem (D.1 to D.9)."""

import numpy as np
from numpy.random import Generator

from reference import fixed_points
from reference.claims import instances
from reference.claims.instances import Setting, WeightwiseRidge
from reference.claims.numerics import NODES, affine_root, central_difference, relative_error
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.perturbation import expectation


def drawn(rng: Generator) -> tuple[WeightwiseRidge, Setting]:
    """Ridge with two hyperparameters, and a point of it."""
    problem, lam = instances.weightwise(rng)
    return problem, instances.setting(rng, problem, lam)


def mean_A(problem: WeightwiseRidge, at: Setting, nodes: int = NODES) -> np.ndarray:
    """E[A], the mean of ∂²L_T/∂w² (D.6)."""
    return expectation(lambda eps: problem.hess_ww(at.lam + eps, at.w0), at.sigma, nodes)


def mean_B(problem: WeightwiseRidge, at: Setting, nodes: int = NODES) -> np.ndarray:
    """E[B], the mean of ∂²L_T/∂w∂λ (D.5)."""
    return expectation(lambda eps: problem.hess_wlam(at.lam + eps, at.w0), at.sigma, nodes)


@claim(
    "D.1",
    "The perturbed problem has a best response of its own: for a penalty exp(λ) it is r(λ + σ²/2).",
    EXACT,
    correction="D.1 calls it r and D.7 its derivative the best-response Jacobian; it is not the r of Eqn. 1.1, so w0 = "
    "r(λ0) there is not the w0 of Eqn. 3.9 either",
)
def eqn_d_1(rng: Generator) -> Measured:
    errors, off = [], 0.0
    for divided in (False, True):
        ridge, lam = instances.ridge(rng, divided)
        sigma = rng.uniform(0.2, 1.0, 1)
        found = fixed_points.perturbed_best_response(ridge, lam, sigma)
        gradient = expectation(lambda eps, p=ridge, x=lam, w=found: p.grad_w(x + eps, w), sigma, NODES)
        errors += [relative_error(gradient, 0 * found, ridge.Xt / ridge.n)]
        errors += [relative_error(found, ridge.best_response(lam + sigma**2 / 2))]
        r, at_one = ridge.best_response(lam), fixed_points.perturbed_best_response(ridge, lam, np.ones(1))
        off = float(np.linalg.norm(at_one - r) / np.linalg.norm(r))
    return max(errors), f"at σ = 1 it is off by {off:.2g} of r(λ)"


@claim("D.2", "The gradient of the expected loss is the expected gradient.", DIFFERENCE)
def eqn_d_2(rng: Generator) -> float:
    problem, at = drawn(rng)
    outside = central_difference(
        lambda w: expectation(lambda eps: np.asarray(problem.train_loss(at.lam + eps, w)), at.sigma, NODES), at.w0
    )
    inside = expectation(lambda eps: problem.grad_w(at.lam + eps, at.w0), at.sigma, NODES)
    return relative_error(outside, inside)


@claim(
    "D.3, D.4",
    "At D.1's r, found here by setting D.2 to 0, differentiating D.2 gives E[B + AΘ] = 0 (for any law of ε).",
    DIFFERENCE,
)
def eqns_d_3_and_d_4(rng: Generator) -> float:
    problem, at = drawn(rng)

    def r(lam: np.ndarray) -> np.ndarray:
        def gradient(w: np.ndarray) -> np.ndarray:
            return expectation(lambda eps: problem.grad_w(lam + eps, w), at.sigma, nodes=5)

        return affine_root(gradient, at.w0.shape)

    Theta, here = central_difference(r, at.lam), Setting(at.lam, at.sigma, r(at.lam), at.Theta)
    return relative_error(mean_A(problem, here, nodes=5) @ Theta, -mean_B(problem, here, nodes=5))


@claim("D.5-D.7", "B is m × h, A is m × m and Θ is m × h: the second derivatives of L_T at λ0+ε and w0.", DIFFERENCE)
def eqns_d_5_to_d_7(rng: Generator) -> float:
    problem, at = drawn(rng)
    lam = at.lam + at.sigma * rng.normal(size=2)
    B = central_difference(lambda x: problem.grad_w(x, at.w0), lam)
    A = central_difference(lambda w: problem.grad_w(lam, w), at.w0)
    return max(
        relative_error(problem.hess_wlam(lam, at.w0), B, at.w0 / problem.n),
        relative_error(problem.hess_ww(lam, at.w0), A),
        float(problem.best_response_jacobian(lam).shape != at.Theta.shape),
    )


@claim("D.8", "Hence Θ = -E[A]⁻¹E[B]: for ridge -(A + aI)⁻¹ a w0, the derivative of D.1's r.", DIFFERENCE)
def eqn_d_8(rng: Generator) -> float:
    errors = []
    for divided in (False, True):
        ridge, lam = instances.ridge(rng, divided)
        sigma = rng.uniform(0.2, 1.0, 1)
        w0 = fixed_points.perturbed_best_response(ridge, lam, sigma)
        found = fixed_points.appendix_d_response(ridge, lam, w0, sigma)
        along = central_difference(lambda x, p=ridge, s=sigma: fixed_points.perturbed_best_response(p, x, s), lam)
        A = expectation(lambda eps, p=ridge, x=lam, w=w0: p.hess_ww(x + eps, w), sigma, NODES)
        B = expectation(lambda eps, p=ridge, x=lam, w=w0: p.hess_wlam(x + eps, w), sigma, NODES)
        errors += [relative_error(found, along, w0), relative_error(A @ found, -B)]
    return max(errors)


@claim("D.9", "The same Θ minimises E[½tr[AΘΘᵀ] + tr[BᵀΘ]], at any w0.", DIFFERENCE)
def eqn_d_9(rng: Generator) -> float:
    problem, at = drawn(rng)
    A, B = mean_A(problem, at), mean_B(problem, at)

    def objective(Theta: np.ndarray) -> float:
        return float(0.5 * np.trace(A @ Theta @ Theta.T) + np.trace(B.T @ Theta))

    found = affine_root(lambda Theta: central_difference(objective, Theta), at.Theta.shape)
    return relative_error(found, -np.linalg.solve(A, B), np.ones(1))
