"""Section 3.2: the modified update rule (Eqns. 3.9 and 3.10, Theorem 3) and where it is exact."""

import numpy as np
from numpy.random import Generator

from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Linear
from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import EXACT, SLOPE, Measured, claim
from reference.claims.routes import NODES, affine_root, differs, mean_gradients, order, relative_error
from reference.problems import fixed_points
from reference.problems.ridge import Ridge
from reference.rule.updates import CENTERED_STN, DELTA_STN, REPARAM_STN, inner_step


def learned_response(problem: Problem, point: Setting, nodes: int = NODES) -> np.ndarray:
    """Eqn. 3.10's Θ* for the fixed w0 of `at`: where Δ-STN's own expected gradient vanishes."""

    def gradient(Theta: np.ndarray) -> np.ndarray:
        return mean_gradients(DELTA_STN, problem, Setting(point.lam, point.sigma, point.w0, Theta), nodes)[:, 1:]

    return affine_root(gradient, point.Theta.shape)


@claim(
    "3.9",
    "The unperturbed objective has no bias and no noise: at w0 = r(λ) no draw of ε moves w0, whatever Θ.",
    EXACT,
)
def eqn_3_9(rng: Generator) -> float:
    errors = []
    for problem, lam in instances.problems(rng):
        point = instances.setting(rng, problem, lam)
        r = problem.best_response(lam)
        state, eps = Setting(lam, point.sigma, r, point.Theta).state, rng.normal(size=lam.shape)
        for method in (CENTERED_STN, DELTA_STN):
            errors.append(relative_error(inner_step(method, state, eps, problem, problem, 1.0).w0, r))
    return max(errors)


@claim(
    "3.9, 2.5",
    "Eqn. 2.5 has a bias: for ridge its joint minimiser in (w0, Θ), known in closed form, is not (r(λ), ∂r/∂λ).",
    EXACT,
)
def eqn_3_9_against_2_5(rng: Generator) -> Measured:
    errors, shares = [], []
    for divided in (False, True):
        ridge, lam = instances.ridge(rng, divided)
        point = instances.setting(rng, ridge, lam)
        gradients = mean_gradients(
            REPARAM_STN, ridge, Setting(lam, point.sigma, *fixed_points.joint_minimiser(ridge, lam, point.sigma))
        )
        errors.append(relative_error(gradients, 0 * gradients, mean_gradients(REPARAM_STN, ridge, point)))
        w0, r = fixed_points.joint_minimiser(ridge, lam, np.ones(1))[0], ridge.best_response(lam)
        shares.append(float(np.linalg.norm(w0 - r) / np.linalg.norm(r)))
    return Measured(max(*errors, differs(min(shares))), f"at σ = 1 its w0 is off by {min(shares):.2g} of r(λ)")


@claim(
    "3.10",
    "For ridge Θ* is known at any fixed w0: -(A + a(1+σ²)I)⁻¹ a w0 with a = E[exp(λ+ε)], or -K⁻¹w0 where λ is the "
    "penalty itself.",
    EXACT,
)
def eqn_3_10(rng: Generator) -> float:
    errors = []
    for drawn in (instances.ridge(rng), instances.ridge(rng, divided=False), instances.ridge(rng, s=Linear())):
        point = instances.setting(rng, *drawn)
        closed = fixed_points.response_minimiser(drawn[0], point.lam, point.w0, point.sigma)
        errors.append(relative_error(closed, learned_response(drawn[0], point)))
    return max(errors)


@claim(
    "Theorem 3",
    "For a quadratic L_T, Eqn. 3.10's solution is the best-response Jacobian, for any w0 and any scales σ_i > 0 "
    "(not only equal ones).",
    EXACT,
)
def theorem_3(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    point = instances.setting(rng, problem, lam)
    Theta_learned = learned_response(
        problem, Setting(lam, 10 ** rng.uniform(-1, 1, lam.shape), 10 * point.w0, point.Theta), nodes=3
    )
    return relative_error(Theta_learned, -np.linalg.solve(problem.train.A, problem.train.B), point.w0)


@claim(
    "3.10",
    "Theorem 3 stops at the quadratic: with penalty exp(λ) and w0 = r(λ), Θ* misses the Jacobian by exactly "
    "(A + a(1+σ²)I)⁻¹ ((e^λ - a)A + σ²a e^λ I) K⁻¹ r(λ).",
    EXACT,
)
def theorem_3_stops(rng: Generator) -> Measured:
    ridge, lam = instances.ridge(rng)
    r, jacobian = ridge.best_response(lam), ridge.best_response_jacobian(lam)
    sigma = rng.uniform(0.2, 1.0, 1)
    p, a, eye = np.exp(lam), np.exp(lam + sigma**2 / 2), np.eye(len(r))
    middle = (p - a) * ridge.A + sigma**2 * a * p * eye
    bias = np.linalg.solve(ridge.A + a * (1 + sigma**2) * eye, middle @ np.linalg.solve(ridge.K(lam), r[:, None]))
    learned = learned_response(ridge, Setting(lam, sigma, r, jacobian))
    shares = [response_bias(ridge, lam, s) / np.linalg.norm(jacobian) for s in (1.0, 0.3, 0.1)]
    detail = "relative bias {:.2g} at σ = 1, {:.2g} at 0.3, {:.2g} at 0.1".format(*map(np.linalg.norm, shares))
    return Measured(relative_error(learned - jacobian, bias, jacobian), detail)


@claim("3.10", "That bias vanishes with σ².", SLOPE)
def theorem_3_limit(rng: Generator) -> float:
    ridge, lam = instances.ridge(rng)
    return abs(order(lambda t: response_bias(ridge, lam, t)) - 2)


def response_bias(ridge: Ridge, lam: np.ndarray, sigma: float) -> np.ndarray:
    """Eqn. 3.10's Θ* at w0 = r(λ), less the Jacobian."""
    Theta = fixed_points.response_minimiser(ridge, lam, ridge.best_response(lam), np.array([sigma]))
    return Theta - ridge.best_response_jacobian(lam)
