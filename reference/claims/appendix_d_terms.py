"""Appendix D: the two terms of D.15 as Δ-STN computes them, and what the two approximations discard (D.16 to D.27)."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.appendix_d import drawn, mean_B
from reference.claims.instances import Setting
from reference.claims.numerics import NODES, central_difference, mean_gradients, relative_error
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.linear_network import LinearNetwork
from reference.objective import Scalars
from reference.perturbation import expectation
from reference.updates import DELTA_STN


@claim(
    "D.16-D.19",
    "The first-order term: E[tr[BᵀΘΣ]] = E[tr[ΣΣ⁻¹εgᵀΘ]] = E[gᵀΘε] = E[gᵀΔw], B gone by Stein's identity.",
    EXACT,
)
def eqns_d_16_to_d_19(rng: Generator) -> float:
    problem, at = drawn(rng)
    Sigma = np.diag(at.sigma**2)

    def terms(eps: np.ndarray) -> np.ndarray:
        g = problem.grad_w(at.lam + eps, at.w0)
        d_17 = np.trace(Sigma @ np.outer(eps / at.sigma**2, g) @ at.Theta)
        return np.array([d_17, g @ at.Theta @ eps])

    B = mean_B(problem, at)
    desired = np.trace(B.T @ at.Theta @ Sigma)
    scale = np.abs(B * at.Theta @ Sigma)
    cyclic = relative_error(np.trace(Sigma @ B.T @ at.Theta), desired, scale)
    return max(cyclic, relative_error(expectation(terms, at.sigma, NODES), np.full(2, desired), scale))


def network(rng: Generator) -> tuple[LinearNetwork, Setting]:
    """A linear network and a point of it."""
    problem, lam, w0 = instances.network(rng)
    return problem, Setting(lam, rng.uniform(0.2, 1.0, 1), w0, rng.normal(size=(w0.size, 1)))


@claim("D.20", "E[gᵀΔw] = E[(∂L_T/∂y)ᵀΔy] where L_T sees the weights through its outputs alone.", EXACT)
def eqn_d_20(rng: Generator) -> float:
    problem, at = network(rng)
    y, J = problem.f(at.w0), problem.f.jacobian(at.w0)

    def terms(eps: np.ndarray) -> np.ndarray:
        lam, dw = at.lam + eps, at.Theta @ eps
        return np.array([problem.grad_w(lam, at.w0) @ dw, problem.train_grad_v(lam, y) @ J @ dw])

    in_weights, in_outputs = expectation(terms, at.sigma, NODES)
    g = problem.train_grad_v(at.lam, y) @ J
    return relative_error(in_outputs, in_weights, np.abs(g) @ np.abs(at.Theta) * at.sigma)


@claim(
    "D.20",
    "A penalty on the weights must be counted among the outputs (as v = w is here): for ridge with y = Xw alone the "
    "right side is 0, while the left is σ²a w0ᵀΘ/n.",
    EXACT,
    correction="D.20 (and D.26) drop the penalty of H.1 when y is read as the network's predictions",
)
def eqn_d_20_penalty(rng: Generator) -> Measured:
    ridge, lam = instances.ridge(rng)
    at = instances.setting(rng, ridge, lam)
    a, residual = np.exp(lam + at.sigma**2 / 2)[0], ridge.X @ at.w0 - ridge.t

    def terms(eps: np.ndarray) -> np.ndarray:
        dw = at.Theta @ eps
        return np.array([ridge.grad_w(lam + eps, at.w0) @ dw, residual @ ridge.X @ dw / ridge.n])

    left, right = expectation(terms, at.sigma, NODES)
    desired = at.sigma[0] ** 2 * a * (at.w0 @ at.Theta[:, 0]) / ridge.n
    scale = np.abs(at.w0 * at.Theta[:, 0]) * a, np.abs(residual @ ridge.X @ at.Theta)
    return max(
        relative_error(left, desired, *scale), relative_error(right, 0.0, *scale)
    ), f"{left:.2g} against {right:.1g}"


@claim(
    "D.21-D.23",
    "Taking A and ε as independent counts a term of Θᵀ(E[Aεεᵀ] - E[A]Σ)Θ as 0: with penalty exp(λ) it is σ⁴a‖Θ‖²/n, "
    "which makes a(1+σ²) of a; it is why Eqn. 3.10's Θ* is not D.8's.",
    EXACT,
    correction="D.15's first term is ½tr[AΘΣΘᵀ]; D.21 to D.27 drop the ½",
)
def eqns_d_21_to_d_23(rng: Generator) -> Measured:
    ridge, lam = instances.ridge(rng)
    at = instances.setting(rng, ridge, lam)
    Theta, a = at.Theta[:, 0], np.exp(lam + at.sigma**2 / 2)[0]

    def terms(eps: np.ndarray) -> np.ndarray:
        A = ridge.hess_ww(lam + eps, at.w0)
        spreads = at.sigma[0] ** 2 * np.outer(Theta, Theta), np.outer(Theta * eps, Theta * eps)
        return np.array([np.trace(A @ spread) for spread in spreads])

    d_22, d_23 = expectation(terms, at.sigma, NODES)
    discarded = at.sigma[0] ** 4 * a * Theta @ Theta / ridge.n
    return relative_error(d_23 - d_22, discarded, d_22), f"{discarded / d_22:.2g} of D.22 at σ = {at.sigma[0]:.2g}"


@claim(
    "D.24-D.26",
    "tr[HΔwΔwᵀ] = ΔwᵀHΔw; putting JᵀH_yJ for H discards the mean of Δwᵀ(Σ_i ∂L_T/∂y_i ∂²y_i/∂w²)Δw.",
    DIFFERENCE,
)
def eqns_d_24_to_d_26(rng: Generator) -> Measured:
    problem, at = network(rng)

    def terms(eps: np.ndarray) -> np.ndarray:
        lam, dw = at.lam + eps, at.Theta @ eps
        hessian = central_difference(lambda w: problem.grad_w(lam, w), at.w0)
        curvature = problem.f.curvature(at.w0, problem.train_grad_v(lam, problem.f(at.w0)))
        d_26 = dw @ problem.gauss_newton(lam, at.w0) @ dw
        return np.array([np.trace(hessian @ np.outer(dw, dw)), dw @ hessian @ dw, d_26, dw @ curvature @ dw])

    d_24, d_25, d_26, discarded = expectation(terms, at.sigma, nodes=10)
    scale = abs(d_26) + abs(discarded)
    errors = relative_error(d_24, d_25, scale), relative_error(d_25 - d_26, discarded, scale)
    return max(errors), f"it discards {abs(discarded / d_25):.2g} of D.25 at unfitted weights"


@claim(
    "D.27",
    "D.26 is E[ΔyᵀH_yΔy]; the first-order term plus half of it is, but for a constant, Δ-STN's objective where the "
    "loss is quadratic in the outputs, so that its expected gradient is the learning rule's.",
    DIFFERENCE,
    correction="the text after it has the terms in the other order: D.15's first (D.21-D.27) is the second-order one; "
    "and the predictions are linearised with respect to the weights, not 'to the loss'",
)
def eqn_d_27(rng: Generator) -> float:
    problem, at = network(rng)
    y, J = problem.f(at.w0), problem.f.jacobian(at.w0)

    def objective(Theta: np.ndarray) -> Scalars:
        def terms(eps: np.ndarray) -> np.ndarray:
            lam, dy = at.lam + eps, J @ Theta @ eps
            return np.asarray(problem.train_grad_v(lam, y) @ dy + 0.5 * dy @ problem.train_hess_vv(lam, y) @ dy)

        return expectation(terms, at.sigma, NODES)

    eps = at.sigma
    weighted = at.Theta.T @ problem.gauss_newton(at.lam + eps, at.w0) @ at.Theta
    dy = J @ at.Theta @ eps
    d_27 = relative_error(dy @ problem.train_hess_vv(at.lam + eps, y) @ dy, eps @ weighted @ eps)
    learned = mean_gradients(DELTA_STN, problem, at)[:, 1:]
    return max(d_27, relative_error(learned, central_difference(objective, at.Theta), objective(at.Theta)))
