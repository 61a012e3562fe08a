"""Beyond the paper: what dropout's masks (H.2) leave of the control variate's gain as σ vanishes.

name     symbol    shape         meaning
p, q     p, 1 - p  (..., 1)      probability that an input is dropped, and kept; λ = logit p
s        1/q or 1  (..., 1)      what inputs that stay are multiplied with (inverted scaling, or H.2 to the letter)
mean     μ_ik      (..., n, m)   mean over masks of row i's residual where its input k stays
var      ν_ik      (..., n, m)   its variance
g        ḡ_k       (..., m)      mean over masks of ∂L_T/∂w_k at (λ, w0)
V        V_k       (..., m)      its variance
C        C_k       (..., m)      the constant below

Θ's gradient divided by σ², g' ε/σ² or with the control variate (g' - g0) ε/σ², has in coordinate k the variance

    (ḡ_k² + V_k)/σ²    without the control variate
    2V_k/σ²            with it, g' and g0 having masks of their own
    C_k/σ              with it, both having the same uniforms, cut at p(λ+ε) and at p(λ)
    bounded            with it where there are no masks

to leading order. Each of the n m masks differs between the two rates with probability pq|ε|, and where it does the
gradient jumps by J: hence C_k = E|z|³ pq Σ_ij E[J_ij,k²] with z normal. C_k lies between 2√(2/π) = 1.6 and 3.2 V_k.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import expit

from reference.problems.dropout import InputDropout

THIRD = 2 * np.sqrt(2 / np.pi)
"""E|z|³ of a standard normal."""


def scaling(problem: InputDropout, lam: Float[ndarray, "... 1"]) -> Float[ndarray, "... 1"]:
    """s: 1/q with inverted scaling, otherwise 1."""
    return 1 / expit(-lam) if problem.inverted else np.ones_like(lam)


def residual_moments(
    problem: InputDropout, lam: Float[ndarray, "... 1"], w: Float[ndarray, "... m"]
) -> tuple[Float[ndarray, "... n m"], Float[ndarray, "... n m"]]:
    """Given that x_ik stays: μ_ik = s (x_ik w_k + q Σ_{l≠k} x_il w_l) - t_i and ν_ik = s²pq Σ_{l≠k} (x_il w_l)²."""
    s, p, q = scaling(problem, lam)[..., None], expit(lam)[..., None], expit(-lam)[..., None]
    part = problem.X * w[..., None, :]
    others = np.sum(part, axis=-1, keepdims=True) - part
    squares = np.sum(part**2, axis=-1, keepdims=True) - part**2
    return s * (part + q * others) - problem.t[..., None], s**2 * p * q * squares


def mask_variance(
    problem: InputDropout, lam: Float[ndarray, "... 1"], w: Float[ndarray, "... m"]
) -> Float[ndarray, "... m"]:
    """V_k = (1/n²) Σ_i s²q x_ik² (p μ_ik² + ν_ik), for the rows of `problem` as one batch.

    Example, one row x = 1 dropped half of the time, t = 0, w = 1: the gradient is 4 or 0, so that V = 4:
        >>> ones = np.ones((1, 1))
        >>> mask_variance(InputDropout(ones, np.zeros(1), ones, np.zeros(1)), np.zeros(1), np.ones(1))
        array([4.])
    """
    return _sum_over_rows(problem, lam, w, masked_neighbours=1.0)


def common_constant(
    problem: InputDropout, lam: Float[ndarray, "... 1"], w: Float[ndarray, "... m"]
) -> Float[ndarray, "... m"]:
    """C_k = 2√(2/π) (1/n²) Σ_i s²q x_ik² (p μ_ik² + (1+p) ν_ik).

    Where x_ik itself flips the jump is s x_ik times a residual, E[J²] = s²x_ik² (μ² + ν); where x_il flips it is
    s x_il w_l s x_ik as long as x_ik stays, and these sum to s²x_ik² ν/p.
    """
    return THIRD * _sum_over_rows(problem, lam, w, masked_neighbours=1 + expit(lam)[..., None])


def _sum_over_rows(
    problem: InputDropout, lam: ndarray, w: ndarray, masked_neighbours: float | ndarray
) -> Float[ndarray, "... m"]:
    s, p, q = scaling(problem, lam)[..., None], expit(lam)[..., None], expit(-lam)[..., None]
    mean, var = residual_moments(problem, lam, w)
    return np.sum(s**2 * q * problem.X**2 * (p * mean**2 + masked_neighbours * var), axis=-2) / problem.n**2
