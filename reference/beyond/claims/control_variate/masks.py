"""Beyond the paper: what dropout's masks leave of the control variate's gain as σ vanishes."""

import numpy as np
from numpy.random import Generator
from scipy.special import expit

from reference.beyond.control_variate.masks import common_constant, mask_variance
from reference.claims import instances
from reference.claims.registry import EXACT, SLOPE, Measured, claim
from reference.claims.routes import order
from reference.problems.dropout import InputDropout, MaskedRegression


def drawn(rng: Generator) -> tuple[InputDropout, np.ndarray, np.ndarray]:
    """A batch of three rows of two inputs, a λ and weights: few enough masks to go through."""
    whole = InputDropout(*instances.data(rng, 2), inverted=bool(rng.integers(2)))
    return whole.rows(np.arange(3)), rng.uniform(-1, 1, 1), rng.normal(size=2)


def cells(problem: InputDropout, p: float, p_eps: float) -> tuple[MaskedRegression, np.ndarray]:
    """The batch with a uniform in each cell that two rates cut: inputs dropped at both, one, neither; the chances."""
    ends = np.array([0.0, *sorted((p, p_eps)), 1.0])
    states = np.indices((3,) * problem.X.size).reshape(problem.X.size, -1).T.reshape(-1, *problem.X.shape)
    middles = (ends[1:] + ends[:-1]) / 2
    batch = problem.masked(np.arange(problem.n), middles[states])
    return batch, np.prod(np.diff(ends)[states], axis=(-2, -1))


def of_each_sign(nodes: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights for z ~ N(0, 1), each half of the line on its own: |z| is not smooth at 0."""
    x, weight = np.polynomial.legendre.leggauss(nodes)
    half = 4 * (x + 1)
    weights = 4 * weight * np.exp(-(half**2) / 2) / np.sqrt(2 * np.pi)
    return np.concatenate([-half, half]), np.concatenate([weights, weights])


@claim(
    "beyond 9",
    "With dropout the gradient has a variance V over masks besides. As σ vanishes, masks drawn afresh for the second "
    "gradient leave 2V/σ² of Θ's normalised gradient, where the paper's has (g² + V)/σ²: the double where g = 0.",
    SLOPE,
)
def fresh_masks(rng: Generator) -> Measured:
    problem, lam, w = drawn(rng)
    batch, chance = cells(problem, expit(lam[0]), expit(lam[0]))
    g, V = batch.grad_w(lam, w), mask_variance(problem, lam, w)
    mean, square = chance @ g, chance @ g**2

    def remainder(t: float) -> np.ndarray:
        both = np.zeros((2, w.size))
        for z, weight in zip(*of_each_sign(), strict=True):
            other, likely = cells(problem, expit(lam[0]), expit(lam[0] + t * z))
            again = other.grad_w(lam + t * z, w)
            paper = likely @ again**2
            # Independent masks: E(g' - g)² = E[g'²] - 2 E[g']E[g] + E[g²].
            fresh = paper - 2 * (likely @ again) * mean + square
            # σ² times the square of the gradient times ε/σ².
            both += weight * z**2 * np.stack([paper, fresh])
        return both - np.stack([problem.grad_w(lam, w) ** 2 + V, 2 * V])

    return Measured(abs(order(remainder) - 2), f"{2 * np.sum(V) / np.sum(square):.2g} times the paper's here")


@claim(
    "beyond 10",
    "With the same uniforms cut at both rates a mask flips with probability pq|ε|, and C/σ is left, C = 2√(2/π) pq "
    "ΣE[J²] over the jumps J: between 1.6 and 1.6(1 + p) times V, so that at w0's optimum, to leading order, σ must be "
    "below 1/1.6 to gain.",
    SLOPE,
)
def common_uniforms(rng: Generator) -> Measured:
    problem, lam, w = drawn(rng)
    C, V = (f(problem, lam, w) for f in (common_constant, mask_variance))

    def remainder(t: float) -> np.ndarray:
        square = np.zeros_like(w)
        for z, weight in zip(*of_each_sign(), strict=True):
            batch, chance = cells(problem, expit(lam[0]), expit(lam[0] + t * z))
            jump = batch.grad_w(lam + t * z, w) - batch.grad_w(lam, w)
            square += weight * z**2 / t * (chance @ jump**2)  # σ times the square of the jump times ε/σ²
        return square - C

    share = C / (2 * np.sqrt(2 / np.pi) * V)
    inside = np.all(share >= 1 - EXACT) and np.all(share <= 1 + expit(lam) + EXACT)
    miss = abs(order(remainder) - 1)
    gain = np.sum(problem.grad_w(lam, w) ** 2 + V) / np.sum(C)
    return Measured(
        max(miss, float(not inside)), f"to leading order below the paper's for σ under {gain:.2g}, g not being 0"
    )
