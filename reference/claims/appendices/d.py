"""Appendix D: the Jacobian of the perturbed problem (D.1 to D.9)."""

from dataclasses import replace

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from reference.bilevel.problem import Problem
from reference.claims import instances
from reference.claims.instances import Setting, WeightwiseRidge
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import NODES, affine_root, central_difference, relative_error
from reference.problems import fixed_points
from reference.rule.perturbation import expectation, quadrature


def drawn(rng: Generator) -> tuple[WeightwiseRidge, Setting]:
    """Ridge with two penalties, and a point of it."""
    problem, lam = instances.penalties(rng)
    return problem, instances.setting(rng, problem, lam)


def mean_A(problem: Problem, point: Setting, nodes: int = NODES) -> np.ndarray:
    """E[A], the mean of ∂²L_T/∂w² (D.6)."""
    return expectation(lambda eps: problem.hess_ww(point.lam + eps, point.w0), point.sigma, nodes)


def mean_B(problem: Problem, point: Setting, nodes: int = NODES) -> np.ndarray:
    """E[B], the mean of ∂²L_T/∂w∂λ (D.5)."""
    return expectation(lambda eps: problem.hess_wlam(point.lam + eps, point.w0), point.sigma, nodes)


@claim(
    "D.1",
    "The perturbed problem has a best response of its own: for a penalty exp(λ) it is r(λ + σ²/2).",
    EXACT,
    correction="D.1 calls it r and D.7 its derivative the best-response Jacobian; it is not the r of Eqn. 1.1, so w0 = "
    "r(λ0) there is not the w0 of Eqn. 3.9 either",
)
def eqn_d_1(rng: Generator) -> Measured:
    errors, printed = [], []
    for divided in (False, True):
        ridge, lam = instances.ridge(rng, divided)
        sigma = rng.uniform(0.2, 1.0, 1)
        w0, r = fixed_points.perturbed_best_response(ridge, lam, sigma), ridge.best_response(lam)
        gradient = expectation(lambda eps, p=ridge, x=lam, w=w0: p.grad_w(x + eps, w), sigma, NODES)
        errors += [relative_error(gradient, 0 * w0, ridge.Xt / ridge.n)]
        errors += [relative_error(w0, ridge.best_response(lam + sigma**2 / 2))]
        printed += [relative_error(r, w0)]
    return Measured(max(errors), printed=min(printed))


@claim(
    "D.2",
    "The gradient of the expected loss is the expected gradient, and both vanish at D.1's r, for ridge with one "
    "penalty or two.",
    DIFFERENCE,
)
def eqn_d_2(rng: Generator) -> float:
    errors = []
    for problem, lam in (instances.ridge(rng, divided=False), instances.penalties(rng)):
        sigma = rng.uniform(0.2, 1.0, lam.size)
        r = problem.best_response(lam + sigma**2 / 2)
        outside, inside, loss = expected(problem, lam, sigma, r + rng.normal(size=r.shape))
        *at_r, least = expected(problem, lam, sigma, r)
        errors += [relative_error(outside, inside, loss), *(relative_error(g, 0 * r, least) for g in at_r)]
    return max(errors)


def expected(problem: Problem, lam: ndarray, sigma: ndarray, w: ndarray) -> tuple[ndarray, ndarray, ndarray]:
    """The gradient of the expected loss, by differences; the expected gradient; the expected loss."""
    points, weights = quadrature(sigma, NODES)

    def loss(w: ndarray) -> ndarray:
        return weights @ problem.train_loss(lam + points, w)

    return central_difference(loss, w), weights @ problem.grad_w(lam + points, w), loss(w)


@claim(
    "D.3, D.4",
    "At D.1's r, found here by setting D.2 to 0, differentiating D.2 gives E[B + AΘ] = 0 (for any law of ε).",
    DIFFERENCE,
)
def eqns_d_3_and_d_4(rng: Generator) -> float:
    problem, point = drawn(rng)

    def r(lam: np.ndarray) -> np.ndarray:
        def gradient(w: np.ndarray) -> np.ndarray:
            return expectation(lambda eps: problem.grad_w(lam + eps, w), point.sigma, nodes=5)

        return affine_root(gradient, point.w0.shape)

    Theta, here = central_difference(r, point.lam), Setting(point.lam, point.sigma, r(point.lam), point.Theta)
    return relative_error(mean_A(problem, here, nodes=5) @ Theta, -mean_B(problem, here, nodes=5))


@claim(
    "D.5-D.7",
    "B (m × h) and A (m × m) are the second derivatives of L_T at λ0+ε and w0, as matrices and in products; Θ (m × h) "
    "is the slope of r. For ridge, input dropout, a quadratic, figure 2's problem and penalties of groups; A and B for "
    "a linear network too.",
    DIFFERENCE,
)
def eqns_d_5_to_d_7(rng: Generator) -> float:
    errors = []
    for problem, lam0 in [*instances.problems(rng), instances.penalties(rng)]:
        point = instances.setting(rng, problem, lam0)
        errors += derivatives(problem, lam0 + point.sigma * rng.normal(size=lam0.shape), point.w0)
        Theta = problem.best_response_jacobian(lam0)
        errors.append(relative_error(Theta, central_difference(problem.best_response, lam0), point.w0))
    return max([*errors, *derivatives(*instances.network(rng))])


def derivatives(problem: Problem, lam: ndarray, w: ndarray) -> list[float]:
    """How far g, B and A, and the products with both, are from differences of L_T and of g."""
    B = central_difference(lambda x: problem.grad_w(x, w), lam)
    A = central_difference(lambda w: problem.grad_w(lam, w), w)
    g = problem.grad_w(lam, w)
    return [
        relative_error(g, central_difference(lambda w: problem.train_loss(lam, w), w), problem.train_loss(lam, w)),
        relative_error(problem.hess_wlam(lam, w), B, g),
        relative_error(problem.hess_ww(lam, w), A, g),
        relative_error(problem.cross_vec(lam, w, w), w @ B, g),
        relative_error(problem.hess_vec(lam, w, w), A @ w, g),
    ]


@claim("D.8", "Hence Θ = -E[A]⁻¹E[B]: for ridge -(A + aI)⁻¹ a w0, the derivative of D.1's r.", DIFFERENCE)
def eqn_d_8(rng: Generator) -> float:
    errors = []
    for divided in (False, True):
        ridge, lam = instances.ridge(rng, divided)
        sigma = rng.uniform(0.2, 1.0, 1)
        w0 = fixed_points.perturbed_best_response(ridge, lam, sigma)
        Theta = fixed_points.appendix_d_response(ridge, lam, w0, sigma)
        along = central_difference(lambda x, p=ridge, s=sigma: fixed_points.perturbed_best_response(p, x, s), lam)
        here = Setting(lam, sigma, w0, Theta)
        errors += [relative_error(Theta, along, w0)]
        errors += [relative_error(mean_A(ridge, here) @ Theta, -mean_B(ridge, here))]
    return max(errors)


@claim(
    "D.9",
    "The same Θ minimises E[½tr[AΘΘᵀ] + tr[BᵀΘ]]: for ridge at any w0; for more penalties at D.1's r, where it is the "
    "slope of r at λ + σ²/2.",
    DIFFERENCE,
)
def eqn_d_9(rng: Generator) -> float:
    ridge, lam = instances.ridge(rng, divided=False)
    point = instances.setting(rng, ridge, lam)
    Theta = fixed_points.appendix_d_response(ridge, lam, point.w0, point.sigma)
    many, there = drawn(rng)
    moved = there.lam + there.sigma**2 / 2
    there = replace(there, w0=many.best_response(moved))
    along = central_difference(many.best_response, moved)
    pairs = (minimiser(ridge, point), Theta), (minimiser(many, there), along)
    return max(relative_error(*pair, np.ones(1)) for pair in pairs)


def minimiser(problem: Problem, point: Setting) -> np.ndarray:
    """D.9's Θ."""
    A, B = mean_A(problem, point), mean_B(problem, point)

    def objective(Theta: np.ndarray) -> float:
        return float(0.5 * np.trace(A @ Theta @ Theta.T) + np.trace(B.T @ Theta))

    return affine_root(lambda Theta: central_difference(objective, Theta), point.Theta.shape)
