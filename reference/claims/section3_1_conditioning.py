"""Section 3.1: why centring conditions the inner problem (Eqns. 3.4 and 3.5, Observation 2)."""

import numpy as np
from numpy.random import Generator

from reference.claims import instances
from reference.claims.numerics import differs, mean_gradients, relative_error
from reference.claims.registry import BOUND, EXACT, Measured, claim
from reference.hypernet import homogeneous, second_moment
from reference.perturbation import expectation
from reference.updates import STN


@claim(
    "3.4",
    "G_φ = E[λ̂λ̂ᵀ] ⊗ G_w is exact where J_yw and H_y do not depend on ε: a quadratic loss, differentiated column by "
    "column through STN's own update.",
    EXACT,
)
def eqn_3_4(rng: Generator) -> float:
    problem, lam = instances.quadratic(rng)
    at = instances.setting(rng, problem, lam)

    def gradient(phi: np.ndarray) -> np.ndarray:
        columns = phi.reshape(-1, len(at.w0)).T  # (Φ, φ0), as λ̂ has its 1 at the end
        means = mean_gradients(STN, problem, instances.Setting(lam, at.sigma, columns[:, -1], columns[:, :-1]), nodes=3)
        return np.roll(means, -1, axis=1).ravel(order="F")

    size = at.w0.size * (1 + lam.size)
    hessian = np.stack([gradient(e) - gradient(np.zeros(size)) for e in np.eye(size)], axis=-1)
    return relative_error(hessian, np.kron(second_moment(lam, at.sigma), problem.train.A))


@claim(
    "3.4",
    "It is not exact where they do: for input dropout H_y contains exp(λ + ε) D/n (ridge's penalty, likewise, with I "
    "for D), and the error is the covariance of λ̂λ̂ᵀ and exp(λ + ε), known in closed form, ⊗ D/n. Nor is the mean of "
    "JᵀHJ over ε then G_w at λ.",
    EXACT,
)
def eqn_3_4_dropout(rng: Generator) -> Measured:
    problem, lam = instances.dropout(rng)
    w = rng.normal(size=problem.X.shape[1])

    def gap(sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        def exact(eps: np.ndarray) -> np.ndarray:
            hat = homogeneous(lam + eps)
            return np.kron(np.outer(hat, hat), problem.gauss_newton(lam + eps, w))

        G_phi = expectation(exact, sigma)
        G_w = expectation(lambda eps: problem.gauss_newton(lam + eps, w), sigma)
        return G_phi, G_phi - np.kron(second_moment(lam, sigma), G_w)

    sigma, small = np.ones(1), np.full(1, 0.1)
    # Weighted with exp(ε), ε is normal about σ² instead of 0, which moves λ by σ².
    moved = second_moment(lam + sigma**2, sigma) - second_moment(lam, sigma)
    G_phi, measured = gap(sigma)
    off, off_small = (np.linalg.norm(b) / np.linalg.norm(a) for a, b in ((G_phi, measured), gap(small)))
    covariance = np.exp(lam + sigma**2 / 2) * np.kron(moved, np.diag(problem.D)) / problem.n
    mean_G_w = expectation(lambda eps: problem.gauss_newton(lam + eps, w), sigma)
    shift = relative_error(mean_G_w, problem.gauss_newton(lam, w))
    detail = f"off by {off:.2g} at σ = 1, {off_small:.2g} at 0.1; at σ = 1 E[JᵀHJ] is off by {shift:.2g} of G_w"
    return max(relative_error(measured, covariance, G_phi), differs(shift)), detail


@claim(
    "3.4",
    "Nor for a linear network, whose J_yw moves with the perturbed weights even under a fixed penalty (the error "
    "is more than 1e-3 at σ = 1).",
    BOUND,
)
def eqn_3_4_network(rng: Generator) -> Measured:
    problem, lam, w = instances.network(rng)
    Theta = rng.normal(size=(w.size, 1))

    def G_w(eps: np.ndarray) -> np.ndarray:
        return problem.gauss_newton(lam, w + Theta @ eps)

    sigma = np.ones(1)
    exact = expectation(lambda eps: np.kron(np.outer(homogeneous(eps), homogeneous(eps)), G_w(eps)), sigma, nodes=8)
    pushed = np.kron(second_moment(0 * lam, sigma), expectation(G_w, sigma, nodes=8))
    off = float(np.linalg.norm(exact - pushed) / np.linalg.norm(exact))
    return max(0.0, 1e-3 - off), f"off by {off:.2g} at σ = 1"


@claim("Observation 2, C.6-C.8", "κ(A ⊗ B) = κ(A)κ(B), the norms of A ⊗ B and of its inverse being products.", EXACT)
def observation_2(rng: Generator) -> float:
    A, B = instances.positive_definite(rng, 3), instances.positive_definite(rng, 4)
    product, inverse = np.kron(A, B), np.kron(np.linalg.inv(A), np.linalg.inv(B))  # C.6 names the inverses
    norms = [
        relative_error(np.linalg.norm(product, 2), np.linalg.norm(A, 2) * np.linalg.norm(B, 2)),
        relative_error(np.linalg.norm(inverse, 2), 1 / (np.linalg.norm(A, -2) * np.linalg.norm(B, -2))),
    ]
    eigenvalues = np.linalg.eigvalsh(product)
    return max(*norms, relative_error(eigenvalues[-1] / eigenvalues[0], np.linalg.cond(A) * np.linalg.cond(B)))


@claim(
    "3.5",
    "E[λ̂λ̂ᵀ] = diag(σ², 0) + λ̄λ̄ᵀ, and the second term has one nonzero eigenvalue, ‖λ̄‖² = ‖λ‖² + 1.",
    EXACT,
    correction="Cov(ε) is h by h where the other terms have h + 1 rows: it is the covariance of ε̄, a zero appended",
)
def eqn_3_5(rng: Generator) -> float:
    lam, sigma = rng.normal(size=2), rng.uniform(0.2, 1.5, 2)
    moments = expectation(lambda eps: np.outer(homogeneous(lam + eps), homogeneous(lam + eps)), sigma, nodes=4)
    second_term = second_moment(lam, sigma) - np.diag([*sigma**2, 0.0])
    eigenvalues = np.append(np.zeros(2), lam @ lam + 1)
    return max(
        relative_error(second_moment(lam, sigma), moments),
        relative_error(np.linalg.eigvalsh(second_term), eigenvalues),
    )


@claim(
    "3.5",
    "Hence centring: no offset of λ gives E[λ̂λ̂ᵀ] a smaller condition number than λ ↦ 0, which leaves "
    "max(σ², 1)/min(σ², 1).",
    EXACT,
)
def eqn_3_5_centring(rng: Generator) -> Measured:
    lam, sigma = 3 * rng.normal(size=2), rng.uniform(0.1, 2.0, 2)
    centred, there = (np.linalg.cond(second_moment(at, sigma)) for at in (0 * lam, lam))
    spread = np.append(sigma**2, 1.0)
    others = [np.linalg.cond(second_moment(lam * shift, sigma)) for shift in np.linspace(-1, 1, 21)]
    beaten = max(0.0, float(centred - min(others)) / centred)
    detail = f"κ is {there:.3g} at λ = {lam.round(2)} and {centred:.3g} when centred"
    return max(beaten, relative_error(centred, spread.max() / spread.min())), detail
