"""Appendix C.4: Lemma 4, the implicit function theorem for r (C.27 to C.32)."""

import numpy as np
from numpy.random import Generator
from scipy.optimize import root

from reference.claims import instances
from reference.claims.instances import WeightwiseRidge
from reference.claims.registry import DIFFERENCE, Measured, claim
from reference.claims.routes import central_difference, relative_error


@claim(
    "Lemma 4, C.27-C.30",
    "Near λ0 one branch r of stationary points passes through w0 and its Jacobian is -(∂²L_T/∂w²)⁻¹ ∂²L_T/∂w∂λ; "
    "here found by a root finder, from w0 and from three points around it, on a loss that is not quadratic in w.",
    DIFFERENCE,
)
def lemma_4(rng: Generator) -> float:
    problem, lam = instances.saturating(rng)
    w0 = problem.best_response(lam)

    def branch(point: np.ndarray, start: np.ndarray = w0) -> np.ndarray:
        return root(lambda w: problem.grad_w(point, w), start, jac=lambda w: problem.hess_ww(point, w), tol=1e-14).x

    stationary = central_difference(lambda w: problem.train_loss(lam, w), w0)
    formula = -np.linalg.solve(problem.hess_ww(lam, w0), problem.hess_wlam(lam, w0))
    elsewhere = w0 + 0.1
    hessian = central_difference(lambda w: problem.grad_w(lam, w), elsewhere)
    near = lam + 0.01
    return max(
        relative_error(stationary, 0 * w0, problem.train_loss(lam, w0)),
        relative_error(branch(near), problem.best_response(near)),
        *(relative_error(branch(near, w0 + 0.01 * away), branch(near)) for away in rng.normal(size=(3, w0.size))),
        relative_error(formula, central_difference(branch, lam), w0),
        relative_error(problem.hess_ww(lam, elsewhere), hessian),
    )


@claim(
    "C.31, C.32",
    "Along r the gradient stays 0: ∂²L_T/∂w² ∂r/∂λ + ∂²L_T/∂w∂λ = 0, each term m × h.",
    DIFFERENCE,
    correction="C.32 turns the mixed derivative into ∂²/∂λ∂w, in the layout of C.27 and D.5 its transpose: for m = h "
    "that gives another Jacobian, for m ≠ h none (C.31's transpose is harmless: its sum is 0)",
)
def eqns_c_31_and_c_32(rng: Generator) -> Measured:
    errors = []
    for problem, lam in instances.problems(rng):
        r, along = problem.best_response(lam), central_difference(problem.best_response, lam)
        mixed, hessian = problem.hess_wlam(lam, r), problem.hess_ww(lam, r)
        errors.append(relative_error(hessian @ along, -mixed, hessian @ r))
        errors.append(relative_error(mixed, central_difference(lambda x, p=problem, r=r: p.grad_w(x, r), lam), r))
    m = int(rng.integers(3, 5))
    square = WeightwiseRidge(*instances.data(rng, m), P=rng.uniform(-0.7, 0.7, size=(m, m)))
    lam = np.log(square.n) + rng.uniform(-1, 1, m)
    r, along = square.best_response(lam), central_difference(square.best_response, lam)
    transposed = -np.linalg.solve(square.hess_ww(lam, r), square.hess_wlam(lam, r).T)
    return Measured(max(errors), printed=relative_error(transposed, along))
