"""Beyond the paper: a penalty for each group of features, and one unit's response to them."""

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from reference.beyond.problems.grouped import GroupedPenalties
from reference.beyond.theory.rank_one import OneUnit, excess, least_loss, nearest
from reference.claims import instances
from reference.claims.registry import BOUND, EXACT, Measured, claim
from reference.claims.routes import relative_error
from reference.problems.ridge import Ridge
from reference.rule.perturbation import expectation


def penalties(rng: Generator, h: int) -> tuple[GroupedPenalties, ndarray]:
    """H.1 with a penalty for each of h groups of features, a divisor of its own, and more features than groups."""
    m = int(rng.integers(h + 1, h + 4))
    arrays, divisor = instances.data(rng, m), float(rng.uniform(1.5, 4.5))
    problem = GroupedPenalties(*arrays, group=tuple(j % h for j in range(m)), divisor=divisor)
    return problem, np.log(divisor) + rng.uniform(-1, 1, h)


@claim(
    "beyond 16",
    "With a penalty for each group of features the best-response Jacobian's columns add up to ridge's where the "
    "penalties are equal, and so do the hypergradient's entries.",
    EXACT,
)
def columns_add_up(rng: Generator) -> float:
    many, lam = penalties(rng, 3)
    ridge = Ridge(many.X, many.t, many.X_valid, many.t_valid, divisor=many.divisor)
    lam, equal = lam[:1], np.repeat(lam[:1], 3)
    Theta, whole = many.best_response_jacobian(equal), ridge.best_response_jacobian(lam)
    g, ridge_g = many.hypergradient(equal), ridge.hypergradient(lam)
    return max(relative_error(Theta.sum(axis=1), whole[:, 0], Theta), relative_error(g.sum(), ridge_g[0], g))


@claim(
    "beyond 17",
    "Of all Jacobians that Eqn. 3.14 has for one output, Θ = ruᵀ, the first singular pair of H^½Θ*Σ^½ brings Eqn. 3.10 "
    "of the quadratic C.9 lowest: the squares of the other singular values, halved, are left above its minimum.",
    EXACT,
)
def least_of_rank_one(rng: Generator) -> Measured:
    problem, lam = instances.quadratic(rng)
    point, exact = instances.setting(rng, problem, lam), problem.best_response_jacobian(lam)

    def objective(Theta: np.ndarray) -> np.ndarray:
        return expectation(
            lambda e: np.atleast_1d(problem.train_loss(lam + e, point.w0 + Theta @ e)), point.sigma, nodes=3
        )

    values, vectors = np.linalg.eigh(problem.train.A)
    root = (vectors * np.sqrt(values)) @ vectors.T
    s = np.linalg.svd(root @ exact * point.sigma, compute_uv=False)
    best = least_loss(exact, problem.train.A, point.sigma).Theta
    whole = objective(exact)
    left = objective(best) - whole
    errors = (
        relative_error(left, np.atleast_1d(np.sum(s[1:] ** 2) / 2), whole, s**2),
        relative_error(left, np.atleast_1d(excess(best, exact, problem.train.A, point.sigma)), whole, s**2),
    )
    return Measured(max(errors), f"{np.sum(s[1:] ** 2) / np.sum(s**2):.0%} of what any response could gain is lost")


@claim(
    "beyond 18",
    "There the mean of one unit's own gradients vanishes: its training comes to rest, and a turn of r or u away from "
    "it only raises Eqn. 3.10.",
    EXACT,
)
def rests_there(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    point, exact = instances.setting(rng, problem, lam), problem.best_response_jacobian(lam)
    best = least_loss(exact, problem.train.A, point.sigma)

    def gradients(eps: np.ndarray) -> np.ndarray:
        gradient = best.gradient(eps, problem.grad_w(lam + eps, point.w0 + best.apply(eps)))
        return np.concatenate([gradient.r, gradient.u])

    mean = expectation(gradients, point.sigma, nodes=3)
    terms = problem.grad_w(lam, point.w0), best.r, best.u, exact
    turned = OneUnit(best.r + rng.normal(size=best.r.shape), best.u + rng.normal(size=best.u.shape))
    lowest, other = (float(excess(unit.Theta, exact, problem.train.A, point.sigma)) for unit in (best, turned))
    return max(relative_error(mean, np.zeros_like(mean), *terms), max(lowest - other, 0.0))


@claim(
    "beyond 19",
    "The nearest Jacobian of rank one misses the hypergradient by at most s_2‖∂L_V/∂w‖, s_2 being the second singular "
    "value of dr/dλ; with one penalty it misses nothing.",
    BOUND,
)
def what_it_costs(rng: Generator) -> Measured:
    missed, shares = 0.0, []
    for h in (1, 4):
        problem, lam = penalties(rng, h)
        Theta, g = problem.best_response_jacobian(lam), problem.hypergradient(lam)
        valid = problem.valid_grad_w(lam, problem.best_response(lam))
        error = np.linalg.norm(nearest(Theta).adjoint(valid) - g)
        second = np.linalg.svd(Theta, compute_uv=False)[1:2].sum()
        rounding = EXACT * np.linalg.norm(Theta) * np.linalg.norm(valid)
        missed = max(missed, error - second * np.linalg.norm(valid) - rounding)
        shares.append(error / np.linalg.norm(g))
    return Measured(missed, f"{shares[0]:.0%} of it missed with one penalty, {shares[1]:.0%} with four")
