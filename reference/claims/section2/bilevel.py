"""Section 2.1: the bilevel problem and its hypergradient (Eqns. 1.1 to 2.4)."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import central_difference, differs, relative_error
from reference.rule.updates import DELTA_STN, inner_step, outer_gradients


@claim(
    "1.1",
    "The inner problem: r(λ) minimises L_T(λ, ·), for ridge and input dropout a least-squares fit of more rows: "
    "L_T = (1/2n)‖residual‖².",
    EXACT,
)
def eqn_1_1(rng: Generator) -> float:
    ridge, lam = instances.ridge(rng)
    dropout, nu = instances.dropout(rng)
    errors = []
    for problem, point, root in (
        (ridge, lam, np.sqrt(np.exp(lam)) * np.eye(ridge.X.shape[1])),
        (dropout, nu, np.diag(np.sqrt(np.exp(nu) * dropout.D))),
    ):
        rows, targets = np.vstack([problem.X, root]), np.append(problem.t, np.zeros(len(root)))
        w = rng.normal(size=len(root))
        errors.append(relative_error(problem.train_loss(point, w), np.sum((rows @ w - targets) ** 2) / (2 * problem.n)))
        errors.append(relative_error(problem.best_response(point), np.linalg.lstsq(rows, targets)[0]))
    return max(errors)


@claim(
    "2.1",
    "Descending both losses at once ignores the hierarchy: without a response (Θ = 0) it rests where ∂L_T/∂w and "
    "∂L_V/∂λ vanish, for quadratic losses a linear system; there the hypergradient is not 0 but the response gradient.",
    EXACT,
)
def eqn_2_1(rng: Generator) -> Measured:
    problem, _ = instances.quadratic(rng)
    train, valid, (m, h) = problem.train, problem.valid, problem.train.B.shape

    def gradients(x: np.ndarray) -> np.ndarray:
        state = Setting(x[m:], np.ones(h), x[:m], np.zeros((m, h))).state
        after = inner_step(DELTA_STN, state, np.zeros(h), problem, problem, alpha1=1.0)
        return np.append(state.w0 - after.w0, outer_gradients(DELTA_STN, state, np.zeros(h), problem)[0])

    fixed_point = -np.linalg.solve(np.block([[train.A, train.B], [valid.B.T, valid.C]]), np.append(train.d, valid.e))
    w, lam = fixed_point[:m], fixed_point[m:]
    response_gradient = -train.B.T @ np.linalg.solve(train.A, valid.A @ w + valid.B @ lam + valid.d)
    errors = (
        relative_error(gradients(fixed_point), 0 * fixed_point, fixed_point, gradients(0 * fixed_point)),
        relative_error(problem.hypergradient(lam), response_gradient, fixed_point),
    )
    size = float(np.linalg.norm(response_gradient))
    return Measured(max(*errors, differs(size)), f"the hypergradient there has the norm {size:.2g}")


@claim(
    "2.2",
    "Substituting r(λ) turns the constrained problem into one of a single level: both have the same solution, here "
    "for quadratic losses, where the constrained one is a linear system with a multiplier.",
    EXACT,
)
def eqn_2_2(rng: Generator) -> float:
    problem, _ = instances.quadratic(rng)
    outer, inner, best = problem.valid, problem.train, problem.optimum()
    m = len(inner.d)
    system = np.block(
        [[outer.A, outer.B, inner.A], [outer.B.T, outer.C, inner.B.T], [inner.A, inner.B, np.zeros((m, m))]]
    )
    solution = -np.linalg.solve(system, np.concatenate([outer.d, outer.e, inner.d]))
    optimum = np.append(problem.best_response(best.lam_star), best.lam_star)
    return relative_error(optimum, solution[: len(optimum)])


@claim("2.3", "The Jacobian of the best response is -(∂²L_T/∂w²)⁻¹ ∂²L_T/∂w∂λ at r(λ).", DIFFERENCE)
def eqn_2_3(rng: Generator) -> float:
    pairs = instances.problems(rng)
    return max(
        relative_error(p.best_response_jacobian(lam), central_difference(p.best_response, lam), p.best_response(lam))
        for p, lam in pairs
    )


@claim(
    "2.4",
    "dL_V/dλ is the direct gradient plus the response gradient (∂r/∂λ)ᵀ ∂L_V/∂w.",
    DIFFERENCE,
    correction="the direct gradient is printed at (λ, w) with w free; it belongs at (λ, r(λ)) like the other term",
)
def eqn_2_4(rng: Generator) -> Measured:
    pairs = instances.problems(rng)
    residual = max(
        relative_error(p.hypergradient(lam), central_difference(p.outer_loss, lam), p.outer_loss(lam))
        for p, lam in pairs
    )
    problem, lam = instances.quadratic(rng)
    r, w = problem.best_response(lam), instances.setting(rng, problem, lam).w0
    off = problem.valid_grad_lam(lam, w) - problem.valid_grad_lam(lam, r)
    share = float(np.linalg.norm(off) / np.linalg.norm(problem.hypergradient(lam)))
    return Measured(residual, printed=share)
