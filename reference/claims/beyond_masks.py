"""Beyond the paper: what dropout's masks leave of the control variate's gain as σ vanishes (reference.mask_noise)."""

from itertools import product

import numpy as np
from numpy.random import Generator
from scipy.special import expit

from reference.claims import instances
from reference.claims.numerics import order, relative_error
from reference.claims.registry import EXACT, SLOPE, Measured, claim
from reference.dropout import InputDropout, MaskedRegression
from reference.mask_noise import THIRD, common_constant, mask_variance


def drawn(rng: Generator) -> tuple[InputDropout, np.ndarray, np.ndarray]:
    """A batch of one or two rows of two inputs, a λ and weights: few enough masks to go through."""
    whole = InputDropout(*instances.data(rng, 2))
    return whole.rows(np.arange(int(rng.integers(1, 3)))), rng.uniform(-1, 1, 1), rng.normal(size=2)


def cells(problem: InputDropout, p: float, p_eps: float) -> tuple[MaskedRegression, np.ndarray]:
    """The batch with a uniform in each cell that two rates cut: inputs dropped at both, one, neither; the chances."""
    ends = np.array([0.0, *sorted((p, p_eps)), 1.0])
    states = np.array(list(product(range(3), repeat=problem.X.size))).reshape(-1, *problem.X.shape)
    middles = (ends[1:] + ends[:-1]) / 2
    batch = problem.masked(np.arange(problem.n), middles[states])
    return batch, np.prod(np.diff(ends)[states], axis=(-2, -1))


@claim(
    "beyond 9",
    "With dropout the gradient has a variance V over masks besides. As σ vanishes, masks drawn afresh for the second "
    "gradient leave 2V/σ² of Θ's normalised gradient, where the paper's has (g² + V)/σ²: nothing is gained.",
    EXACT,
)
def fresh_masks(rng: Generator) -> Measured:
    problem, lam, w = drawn(rng)
    batch, chance = cells(problem, expit(lam[0]), expit(lam[0]))
    g = batch.grad_w(lam, w)
    mean, square = chance @ g, chance @ g**2
    V = mask_variance(problem, lam, w)
    pairs = np.einsum("a,b,abk->k", chance, chance, (g[:, None] - g[None]) ** 2)
    errors = relative_error(V, square - mean**2, g**2), relative_error(2 * V, pairs, g**2)
    times = 2 * np.sum(V) / np.sum(square)
    return max(*errors, relative_error(mean, problem.grad_w(lam, w), g)), f"{times:.2g} times the paper's here"


@claim(
    "beyond 10",
    "With the same uniforms cut at both rates a mask flips with probability pq|ε|, and C/σ is left, C = "
    "2√(2/π) pq ΣE[J²] over the jumps J: between 1.6 and 1.6(1 + p) times V, so that σ must be well below 1 to gain.",
    SLOPE,
)
def common_uniforms(rng: Generator) -> Measured:
    problem, lam, w = drawn(rng)
    C, V = (f(problem, lam, w) for f in (common_constant, mask_variance))

    def remainder(t: float) -> np.ndarray:
        square = np.zeros_like(w)
        for eps in (-t, t):  # E[(g' - g0)²] = |ε| C/E|z|³ + O(ε²); the odd part of the next order is of no interest
            batch, chance = cells(problem, expit(lam[0]), expit(lam[0] + eps))
            jump = batch.grad_w(lam + eps, w) - batch.grad_w(lam, w)
            square += chance @ jump**2 / 2
        return square - t * C / THIRD

    share = C / (THIRD * V)
    inside = np.all(share >= 1 - EXACT) and np.all(share <= 1 + expit(lam) + EXACT)
    miss = abs(order(remainder) - 2)
    gain = np.sum(problem.grad_w(lam, w) ** 2 + V) / np.sum(C)
    return max(miss, float(not inside)), f"less than the paper's below σ = {gain:.2g} here"
