"""Appendix G: STN's fixed point for ridge, the penalty being λ itself (G.1 to G.9)."""

import numpy as np
from numpy.random import Generator

from reference.bilevel.transforms import Linear
from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import affine_root, central_difference, mean_gradients, relative_error
from reference.problems import fixed_points
from reference.problems.ridge import Ridge
from reference.rule.perturbation import expectation
from reference.rule.updates import CENTERED_STN, REPARAM_STN


def drawn(rng: Generator, share: float | None = None) -> tuple[Ridge, Setting, np.ndarray]:
    """Ridge, a point of it, and K; σ is the given (or a drawn) share of K's least eigenvalue."""
    ridge, lam = instances.ridge(rng, s=Linear())
    K = ridge.X.T @ ridge.X + lam * np.eye(ridge.X.shape[1])
    point = instances.setting(rng, ridge, lam)
    sigma = (share or rng.uniform(0.2, 0.8)) * np.linalg.eigvalsh(K)[:1]
    return ridge, Setting(lam, sigma, point.w0, point.Theta), K


def expected_loss(ridge: Ridge, point: Setting, w0: np.ndarray, Theta: np.ndarray) -> np.ndarray:
    """Eqn. G.2's objective; three points are exact for the cubic in ε that it is."""
    return expectation(
        lambda eps: np.asarray(ridge.train_loss(point.lam + eps, w0 + Theta @ eps)), point.sigma, nodes=3
    )


@claim(
    "G.1-G.3",
    "The loss is a data term and a penalty λ‖w‖²/2n with λ itself the penalty; G.2 is its mean, G.3 the sum of theirs.",
    EXACT,
)
def eqns_g_1_to_g_3(rng: Generator) -> float:
    ridge, point, _ = drawn(rng)

    def terms(eps: np.ndarray) -> np.ndarray:
        w = point.w0 + point.Theta @ eps
        residual = ridge.X @ w - ridge.t
        return np.array([residual @ residual, (point.lam + eps)[0] * w @ w]) / (2 * len(ridge.t))

    values, means = terms(point.sigma), expectation(terms, point.sigma, nodes=3)
    value = ridge.train_loss(point.lam + point.sigma, point.w0 + point.Theta @ point.sigma)
    mean = expected_loss(ridge, point, point.w0, point.Theta)
    return max(relative_error(value, values.sum(), values), relative_error(mean, means.sum(), means))


@claim("G.4, G.5", "The means of the two terms; E[ε³] = 0 removes ΘᵀΘ's third moment.", EXACT)
def eqns_g_4_and_g_5(rng: Generator) -> float:
    ridge, point, _ = drawn(rng)
    X, t, w0, Theta, lam = ridge.X, ridge.t, point.w0, point.Theta[:, 0], point.lam[0]
    variance, A = point.sigma[0] ** 2, ridge.X.T @ ridge.X
    g_4 = (w0 @ A @ w0 + Theta @ A @ Theta * variance + t @ t - 2 * w0 @ X.T @ t) / (2 * len(t))
    g_5 = (w0 @ w0 * lam + 2 * w0 @ Theta * variance + Theta @ Theta * lam * variance) / (2 * len(t))

    def terms(eps: np.ndarray) -> np.ndarray:
        w = w0 + Theta * eps
        data = ridge.train_loss(0 * eps, w)
        return np.array([data, ridge.train_loss(point.lam + eps, w) - data])

    return relative_error(expectation(terms, point.sigma, nodes=3), np.array([g_4, g_5]))


@claim("G.6", "The gradient in w0 is (Aw0 - Xᵀt + λ0w0 + Θσ²)/n.", DIFFERENCE)
def eqn_g_6(rng: Generator) -> float:
    ridge, point, K = drawn(rng)
    gradient = (K @ point.w0 - ridge.X.T @ ridge.t + point.Theta[:, 0] * point.sigma**2) / ridge.n
    by_difference = central_difference(lambda w: expected_loss(ridge, point, w, point.Theta), point.w0)
    learned = mean_gradients(REPARAM_STN, ridge, point)[:, 0]
    scale = expected_loss(ridge, point, point.w0, point.Theta)
    return max(relative_error(gradient, by_difference, scale), relative_error(gradient, learned))


@claim(
    "G.7", "For a fixed Θ the minimiser in w0 is K⁻¹(Xᵀt - Θσ²), which exists whenever K is positive definite.", EXACT
)
def eqn_g_7(rng: Generator) -> float:
    ridge, point, K = drawn(rng)

    def gradient(w0: np.ndarray) -> np.ndarray:
        return mean_gradients(REPARAM_STN, ridge, Setting(point.lam, point.sigma, w0, point.Theta), nodes=3)[:, 0]

    solution = affine_root(gradient, point.w0.shape)
    noise = point.Theta[:, 0] * point.sigma**2
    return relative_error(solution, np.linalg.solve(K, ridge.X.T @ ridge.t - noise), np.linalg.solve(K, noise))


@claim("G.8", "For a fixed w0 the minimiser in Θ is -K⁻¹w0, for any σ > 0.", EXACT)
def eqn_g_8(rng: Generator) -> float:
    ridge, point, K = drawn(rng)

    def gradient(Theta: np.ndarray) -> np.ndarray:
        return mean_gradients(REPARAM_STN, ridge, Setting(point.lam, point.sigma, point.w0, Theta), nodes=3)[:, 1:]

    return relative_error(affine_root(gradient, point.Theta.shape), -np.linalg.solve(K, point.w0[:, None]))


@claim(
    "G.7, G.8",
    "Together (K - σ²K⁻¹)w0 = Xᵀt: w0 is k²/(k² - σ²) times the right weights along each eigenvector of K, and Θ as "
    "many times the right Jacobian.",
    EXACT,
)
def eqns_g_7_and_g_8(rng: Generator) -> Measured:
    ridge, point, K = drawn(rng)
    w0, Theta = fixed_points.appendix_g_minimiser(ridge, point.lam, point.sigma)
    gradients = mean_gradients(REPARAM_STN, ridge, Setting(point.lam, point.sigma, w0, Theta), nodes=3)
    k, Q = np.linalg.eigh(K)
    factor = k**2 / (k**2 - point.sigma**2)
    right, jacobian = ridge.best_response(point.lam), ridge.best_response_jacobian(point.lam)[:, 0]
    residual = max(
        relative_error(gradients, 0 * gradients, ridge.X.T @ ridge.t / ridge.n),
        relative_error(Q.T @ w0, factor * (Q.T @ right)),
        relative_error(Q.T @ Theta[:, 0], factor * (Q.T @ jacobian)),
    )
    off = np.linalg.norm(w0 - right) / np.linalg.norm(right)
    return Measured(residual, f"at σ = {point.sigma[0] / k[0]:.2g} of K's least eigenvalue w0 is off by {off:.2g} of r")


@claim("G.9", "The right weights are K⁻¹Xᵀt, and G.7 gives them only where Θσ² = 0.", EXACT)
def eqn_g_9(rng: Generator) -> Measured:
    ridge, point, _ = drawn(rng)
    rows = np.vstack([ridge.X, np.sqrt(point.lam) * np.eye(ridge.X.shape[1])])
    targets = np.append(ridge.t, np.zeros(ridge.X.shape[1]))
    right = np.linalg.lstsq(rows, targets)[0]
    gradient = mean_gradients(REPARAM_STN, ridge, Setting(point.lam, point.sigma, right, point.Theta), nodes=3)[:, 0]
    residual = relative_error(gradient, point.Theta[:, 0] * point.sigma**2 / ridge.n, ridge.X.T @ ridge.t / ridge.n)
    return Measured(
        max(residual, relative_error(ridge.best_response(point.lam), right)), f"there G.6 is {gradient[0]:.2g}, not 0"
    )


@claim("G.9, 3.9", "Eqns. 3.9 and 3.10 recover both r(λ) and its Jacobian here, though L_T is cubic in (λ, w).", EXACT)
def eqn_g_9_and_3_9(rng: Generator) -> float:
    ridge, point, _ = drawn(rng)
    right, jacobian = ridge.best_response(point.lam), ridge.best_response_jacobian(point.lam)
    learned = fixed_points.response_minimiser(ridge, point.lam, right, point.sigma)
    gradient = mean_gradients(CENTERED_STN, ridge, Setting(point.lam, point.sigma, right, jacobian), nodes=3)[:, 1:]
    return max(relative_error(learned, jacobian), relative_error(gradient, 0 * jacobian, ridge.Xt / ridge.n))
