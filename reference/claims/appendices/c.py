"""Appendix C: the proofs' own equations (C.4, C.9 to C.26; C.1-C.3 and C.5-C.8 stand with section 3.1)."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import mean_gradients, relative_error
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.rule.hypernet import FullResponse, homogeneous
from reference.rule.perturbation import expectation
from reference.rule.updates import CENTERED_STN, DELTA_STN, perturbed_gradient


@claim(
    "C.4",
    "(λ̂ ⊗ Jᵀ)(1 ⊗ H)(λ̂ᵀ ⊗ J) times a change of the hypernetwork is the change of the linearised loss's gradient in it, "
    "for a linear network.",
    EXACT,
)
def eqn_c_4(rng: Generator) -> float:
    problem, lam, w = instances.network(rng)
    hat = homogeneous(lam)
    J, H = problem.f.jacobian(w), problem.train_hess_vv(lam, problem.f(w))
    product = np.kron(hat[:, None], J.T) @ np.kron(np.ones((1, 1)), H) @ np.kron(hat[None], J)

    def gradient(phi: np.ndarray) -> np.ndarray:
        response = FullResponse(phi.reshape(-1, w.size).T)
        g = perturbed_gradient(DELTA_STN, problem, lam, w, response.apply(hat))
        return response.gradient(hat, g).Theta.ravel(order="F")

    phi = rng.normal(size=hat.size * w.size)
    noise = gradient(0 * phi)
    return relative_error(gradient(phi) - noise, product @ phi, noise)


@claim(
    "C.9", "Its block matrix [[A, B], [Bᵀ, C]] in (w, λ) is the quadratic ½wᵀAw + wᵀBλ + ½λᵀCλ + dᵀw + eᵀλ + c.", EXACT
)
def eqn_c_9(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    L, w = problem.train, rng.normal(size=problem.train.d.shape)
    x, M = np.append(w, lam), np.block([[L.A, L.B], [L.B.T, L.C]])
    value = 0.5 * x @ M @ x + np.append(L.d, L.e) @ x + L.c
    gradient = M @ x + np.append(L.d, L.e)
    actual = np.append(problem.grad_w(lam, w), L.grad_lam(lam, w))
    return max(relative_error(L(lam, w), value, np.abs(x) @ np.abs(M) @ np.abs(x)), relative_error(actual, gradient))


@claim(
    "C.10-C.12", "The best response -A⁻¹(Bλ + d) minimises the quadratic, and its Jacobian -A⁻¹B is constant.", EXACT
)
def eqns_c_10_to_c_12(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    L, r = problem.train, problem.best_response(lam)
    eigenvalues, Q = np.linalg.eigh(L.A)
    inverse = Q / eigenvalues @ Q.T
    other = problem.best_response(lam + rng.normal(size=lam.shape))
    away = problem.train_loss(lam, other) - problem.train_loss(lam, r)
    return max(
        relative_error(r, -inverse @ (L.B @ lam + L.d)),
        relative_error(problem.best_response_jacobian(lam), -inverse @ L.B),
        relative_error(away, (other - r) @ L.A @ (other - r) / 2, problem.train_loss(lam, r)),
    )


def four_terms(L: Quadratic, point: Setting, eps: np.ndarray) -> np.ndarray:
    """Eqns. C.17 to C.20, as printed."""
    w0, lam0, move = point.w0, point.lam, point.Theta @ eps
    return np.array(
        [
            0.5 * (move @ L.A @ move + 2 * move @ L.A @ w0 + w0 @ L.A @ w0),
            w0 @ L.B @ lam0 + w0 @ L.B @ eps + move @ L.B @ lam0 + move @ L.B @ eps,
            0.5 * (lam0 @ L.C @ lam0 + 2 * eps @ L.C @ lam0 + eps @ L.C @ eps),
            L.d @ w0 + L.d @ move + L.e @ lam0 + L.e @ eps + float(L.c),
        ]
    )


def drawn(rng: Generator) -> tuple[QuadraticProblem, Setting]:
    """A quadratic problem and a point of it with equal scales σ."""
    problem, lam = instances.quadratic(rng)
    point = instances.setting(rng, problem, lam)
    return problem, Setting(lam, point.sigma[:1] * np.ones(lam.size), point.w0, point.Theta)


@claim("C.13-C.20", "L_T(λ0+ε, w0+Θε) is the sum of the four expanded terms, at every ε.", EXACT)
def eqns_c_13_to_c_20(rng: Generator) -> float:
    problem, point = drawn(rng)
    eps = rng.normal(size=point.lam.shape)
    terms = four_terms(problem.train, point, eps)
    return relative_error(terms.sum(), problem.train_loss(point.lam + eps, point.w0 + point.Theta @ eps), terms)


@claim(
    "C.21-C.24",
    "The means of the four terms: only Tr[ΘᵀAΘ], Tr[ΘᵀB] and Tr[C] are left of ε, each times σ²; their sum is the "
    "expected loss.",
    EXACT,
    correction="the fact used is printed as E[εᵀε] = σ²; that is hσ². It is E[εεᵀ] = σ²I that gives the traces",
)
def eqns_c_21_to_c_24(rng: Generator) -> Measured:
    problem, point = drawn(rng)
    L, w0, lam0, variance = problem.train, point.w0, point.lam, point.sigma[0] ** 2
    desired = np.array(
        [
            0.5 * (np.trace(point.Theta.T @ L.A @ point.Theta) * variance + w0 @ L.A @ w0),
            w0 @ L.B @ lam0 + np.trace(point.Theta.T @ L.B) * variance,
            0.5 * (lam0 @ L.C @ lam0 + np.trace(L.C) * variance),
            L.d @ w0 + L.e @ lam0 + float(L.c),
        ]
    )
    means = expectation(lambda eps: four_terms(L, point, eps), point.sigma, nodes=3)
    whole = expectation(
        lambda eps: np.asarray(problem.train_loss(lam0 + eps, w0 + point.Theta @ eps)), point.sigma, nodes=3
    )
    square = expectation(lambda eps: eps @ eps, point.sigma, nodes=3)
    return Measured(
        max(relative_error(means, desired), relative_error(whole, desired.sum(), desired)),
        f"E[εᵀε]/σ² = {square / variance:.4g} with h = {lam0.size}",
        printed=relative_error(variance, square),
    )


@claim("C.25", "The gradient in Θ is (B + AΘ)σ², whatever w0 and λ0; with unequal scales, (B + AΘ)diag(σ²).", EXACT)
def eqn_c_25(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    point = instances.setting(rng, problem, lam)
    gradient = mean_gradients(CENTERED_STN, problem, point, nodes=3)[:, 1:]
    L, noise = problem.train, problem.grad_w(lam, point.w0)
    return relative_error(gradient, (L.B + L.A @ point.Theta) @ np.diag(point.sigma**2), noise)


@claim("C.26", "Its zero -A⁻¹B is a minimum: the expected loss rises by ½σ² Tr[ΔᵀAΔ] when Θ moves by Δ.", EXACT)
def eqn_c_26(rng: Generator) -> float:
    problem, point = drawn(rng)
    Theta, move = problem.best_response_jacobian(point.lam), rng.normal(size=point.Theta.shape)

    def loss(Theta: np.ndarray) -> np.ndarray:
        return expectation(
            lambda eps: np.asarray(problem.train_loss(point.lam + eps, point.w0 + Theta @ eps)), point.sigma, nodes=3
        )

    rise = 0.5 * point.sigma[0] ** 2 * np.trace(move.T @ problem.train.A @ move)
    return relative_error(loss(Theta + move) - loss(Theta), rise, loss(Theta))
