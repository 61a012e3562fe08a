"""Appendix D: the two terms of D.15 as Δ-STN computes them, and what the two approximations discard (D.16 to D.27)."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.appendices.d import drawn, mean_B
from reference.claims.instances import Setting
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import NODES, central_difference, mean_gradients, relative_error
from reference.problems import fixed_points
from reference.problems.linear_network import LinearNetwork
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import expectation
from reference.rule.updates import DELTA_STN


@claim(
    "D.16-D.19",
    "The first-order term: E[tr[BᵀΘΣ]] = E[tr[ΣΣ⁻¹εgᵀΘ]] = E[gᵀΘε] = E[gᵀΔw], B gone by Stein's identity; Θᵀg and Δw "
    "as the response gives them.",
    EXACT,
)
def eqns_d_16_to_d_19(rng: Generator) -> float:
    problem, point = drawn(rng)
    Sigma, response = np.diag(point.sigma**2), FullResponse(point.Theta)

    def terms(eps: np.ndarray) -> np.ndarray:
        g = problem.grad_w(point.lam + eps, point.w0)
        d_17 = np.trace(Sigma @ np.outer(eps / point.sigma**2, g) @ point.Theta)
        return np.array([d_17, response.adjoint(g) @ eps, g @ response.apply(eps)])

    B = mean_B(problem, point)
    desired = np.trace(B.T @ point.Theta @ Sigma)
    scale = np.abs(B * point.Theta @ Sigma)
    return relative_error(expectation(terms, point.sigma, NODES), np.full(3, desired), scale)


def network(rng: Generator) -> tuple[LinearNetwork, Setting]:
    """A linear network, and a point of it."""
    problem, lam, w0 = instances.network(rng)
    return problem, Setting(lam, rng.uniform(0.2, 1.0, 1), w0, rng.normal(size=(w0.size, 1)))


@claim("D.20", "E[gᵀΔw] = E[(∂L_T/∂y)ᵀΔy] where L_T sees the weights through its outputs alone.", EXACT)
def eqn_d_20(rng: Generator) -> float:
    problem, point = network(rng)
    y = problem.f(point.w0)

    def terms(eps: np.ndarray) -> np.ndarray:
        lam, dw = point.lam + eps, point.Theta @ eps
        return np.array(
            [problem.grad_w(lam, point.w0) @ dw, problem.train_grad_v(lam, y) @ problem.f.jvp(point.w0, dw)]
        )

    in_weights, in_outputs = expectation(terms, point.sigma, NODES)
    g = problem.train_grad_v(point.lam, y) @ problem.f.jacobian(point.w0)
    return relative_error(in_outputs, in_weights, np.abs(g) @ np.abs(point.Theta) * point.sigma)


@claim(
    "D.20",
    "A penalty on the weights must be counted among the outputs (as v = w is here): for ridge with y = Xw alone the "
    "right side is 0, while the left is σ²a w0ᵀΘ/n.",
    EXACT,
    correction="D.20 (and D.26) drop the penalty of H.1 when y is read as the network's predictions",
)
def eqn_d_20_penalty(rng: Generator) -> Measured:
    ridge, lam = instances.ridge(rng)
    point = instances.setting(rng, ridge, lam)
    a, residual = np.exp(lam + point.sigma**2 / 2)[0], ridge.X @ point.w0 - ridge.t

    def terms(eps: np.ndarray) -> np.ndarray:
        dw = point.Theta @ eps
        in_outputs = ridge.train_grad_v(lam + eps, point.w0) @ dw
        return np.array([ridge.grad_w(lam + eps, point.w0) @ dw, in_outputs, residual @ ridge.X @ dw / ridge.n])

    left, right, printed = expectation(terms, point.sigma, NODES)
    desired = point.sigma[0] ** 2 * a * (point.w0 @ point.Theta[:, 0]) / ridge.n
    scale = np.abs(point.w0 * point.Theta[:, 0]) * a, np.abs(residual @ ridge.X @ point.Theta)
    residuals = [relative_error(side, desired, *scale) for side in (left, right)]
    return Measured(max(*residuals, relative_error(printed, 0.0, *scale)), printed=relative_error(printed, left))


@claim(
    "D.21-D.23",
    "Taking A and ε as independent counts a term of Θᵀ(E[Aεεᵀ] - E[A]Σ)Θ as 0: with penalty exp(λ) it is σ⁴a‖Θ‖², "
    "over n in H.1, which makes a(1+σ²) of a; it is why Eqn. 3.10's Θ* is not D.8's.",
    EXACT,
)
def eqns_d_21_to_d_23(rng: Generator) -> Measured:
    ridge, lam = instances.ridge(rng, divided=False)
    point = instances.setting(rng, ridge, lam)
    Theta, a, variance = point.Theta[:, 0], np.exp(lam + point.sigma**2 / 2)[0], point.sigma[0] ** 2
    Theta_D = fixed_points.appendix_d_response(ridge, lam, point.w0, point.sigma)[:, 0]
    Theta_star = fixed_points.response_minimiser(ridge, lam, point.w0, point.sigma)[:, 0]

    def mean_curvature(Theta: np.ndarray, power: int) -> np.ndarray:
        return expectation(lambda eps: eps[0] ** power * ridge.hess_vec(lam + eps, point.w0, Theta), point.sigma, NODES)

    d_22, d_23 = variance * Theta @ mean_curvature(Theta, 0), Theta @ mean_curvature(Theta, 2)
    discarded = variance**2 * a * Theta @ Theta / ridge.divisor
    solutions = variance * mean_curvature(Theta_D, 0), mean_curvature(Theta_star, 2)
    return Measured(
        max(relative_error(d_23 - d_22, discarded, d_22), relative_error(*solutions)),
        f"{discarded / d_22:.2g} of D.22 at σ = {point.sigma[0]:.2g}",
    )


@claim(
    "D.24-D.26",
    "tr[HΔwΔwᵀ] = ΔwᵀHΔw; putting JᵀH_yJ for H discards the mean of Δwᵀ(Σ_i ∂L_T/∂y_i ∂²y_i/∂w²)Δw.",
    DIFFERENCE,
)
def eqns_d_24_to_d_26(rng: Generator) -> Measured:
    problem, point = network(rng)

    def terms(eps: np.ndarray) -> np.ndarray:
        lam, dw = point.lam + eps, point.Theta @ eps
        hessian = central_difference(lambda w: problem.grad_w(lam, w), point.w0)
        curvature = problem.f.curvature_vec(point.w0, problem.train_grad_v(lam, problem.f(point.w0)), dw)
        d_25 = dw @ problem.hess_vec(lam, point.w0, dw)
        d_26 = dw @ problem.gauss_newton(lam, point.w0) @ dw
        return np.array([np.trace(hessian @ np.outer(dw, dw)), d_25, d_26, dw @ curvature])

    d_24, d_25, d_26, discarded = expectation(terms, point.sigma, nodes=10)
    scale = abs(d_26) + abs(discarded)
    errors = relative_error(d_24, d_25, scale), relative_error(d_25 - d_26, discarded, scale)
    return Measured(max(errors), f"it discards {abs(discarded / d_25):.2g} of D.25 at unfitted weights")


@claim(
    "D.27",
    "D.26 is E[ΔyᵀH_yΔy]; half of it (D.15's first term) and the first-order term (D.15's second) are, but for a "
    "constant, Δ-STN's objective where the loss is quadratic in the outputs: its gradient is the learning rule's.",
    DIFFERENCE,
    correction="D.21 to D.27 drop the ½ of D.15's first term; and the text below calls D.15's first term the first-"
    "order one, where it is the second-order one",
)
def eqn_d_27(rng: Generator) -> Measured:
    problem, point = network(rng)
    y = problem.f(point.w0)

    def terms(Theta: np.ndarray) -> np.ndarray:
        """D.20 and D.27."""

        def both(eps: np.ndarray) -> np.ndarray:
            lam, dy = point.lam + eps, problem.f.jvp(point.w0, Theta @ eps)
            return np.array([problem.train_grad_v(lam, y) @ dy, dy @ problem.train_hess_vv(lam, y) @ dy])

        return expectation(both, point.sigma, NODES)

    def curvature(eps: np.ndarray) -> np.ndarray:
        return np.asarray(eps @ point.Theta.T @ problem.gauss_newton(point.lam + eps, point.w0) @ point.Theta @ eps)

    (d_20, d_27), (first, second) = terms(point.Theta), central_difference(terms, point.Theta)
    learned, learned_at_0 = (
        mean_gradients(DELTA_STN, problem, replace(point, Theta=Theta))[:, 1:]
        for Theta in (point.Theta, 0 * point.Theta)
    )
    to_first_order = np.sum(learned_at_0 * point.Theta)
    scale = np.abs([d_20, d_27])
    return Measured(
        max(
            relative_error(d_27, expectation(curvature, point.sigma, NODES)),
            relative_error(first + second / 2, learned, scale),
            relative_error(d_20, to_first_order, np.abs(learned_at_0 * point.Theta)),
        ),
        printed=min(relative_error(first + second, learned), relative_error(d_27 / 2, to_first_order)),
    )
