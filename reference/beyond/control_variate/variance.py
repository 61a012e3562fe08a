"""Beyond the paper: how noisy Θ's gradient is, with and without the control variate, exactly for Eqn. C.9.

name     symbol      shape             meaning
M        B + AΘ      (..., m, h)       slope of Δ-STN's perturbed gradient in ε; 0 at the best-response Jacobian
g0       ∇L_T(λ,w0)  (..., m)          the gradient of Eqn. 3.9, which the control variate takes away
b        b           (..., m)          what is left of it: g0 without the control variate, 0 with it
sigma    σ           (..., h)          perturbation scale, ε ~ N(0, diag(σ²))

For a quadratic loss Θ's gradient at ε is (b + Mε)εᵀ. Its mean M diag(σ²) does not depend on b, its noise does.

What the control variate keeps is the mean at one w0. Alg. 1 has moved w0 by then, which for C.9 is the same M and for
other losses is not (beyond 31). On a mini-batch M and g0 are the batch's: at Θ = -A⁻¹B of all rows M_b is not 0 (beyond
32). Steps that are linear in the gradient keep the mean, such as momentum; clipping and Adam do not (beyond 33).
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import Scalars
from reference.bilevel.problem import Problem


def slope(
    problem: Problem, lam: Float[ndarray, "... h"], w0: Float[ndarray, "... m"], Theta: Float[ndarray, "... m h"]
) -> Float[ndarray, "... m h"]:
    """M = ∂/∂ε of J_vwᵀ ∇_v L_T(λ+ε, f(w0) + J_vw Θε) at ε = 0: G_w Θ + ∂²L_T/∂w∂λ; for C.9 AΘ + B, at every ε.

    Example, H.1 with A = n = 1, λ = 0, Xᵀt = 1: (1 + e^λ)Θ + e^λ w0 = 2 (-1/4) + 1/2, zero as Θ is the Jacobian:
        >>> from reference.problems.ridge import Ridge
        >>> ones = np.ones((1, 1))
        >>> ridge, lam = Ridge(ones, ones[0], ones, ones[0], divisor=1.0), np.zeros(1)
        >>> slope(ridge, lam, np.array([0.5]), np.array([[-0.25]]))
        array([[0.]])
    """
    return problem.gauss_newton(lam, w0) @ Theta + problem.hess_wlam(lam, w0)


def covariance(
    M: Float[ndarray, "... m h"], b: Float[ndarray, "... m"], sigma: Float[ndarray, "... h"]
) -> Float[ndarray, "... m h m h"]:
    """Cov[G_ij, G_kl] of G = (b + Mε)εᵀ: E[v_i v_k] E[ε_j ε_l] + E[v_i ε_l] E[ε_j v_k] with v = b + Mε (Isserlis).

    Example, m = h = 1: (b + Mε)ε has variance M²·2σ⁴ + b²σ², here 2·16 + 9·4:
        >>> covariance(np.array([[1.0]]), np.array([3.0]), np.array([2.0]))
        array([[[[68.]]]])
    """
    variance = sigma[..., None, :] ** 2
    crossed = M * variance  # E[v εᵀ]
    second = crossed @ M.mT + b[..., :, None] * b[..., None, :]  # E[v vᵀ]
    eps_eps = variance * np.eye(M.shape[-1])
    return np.einsum("...ik,...jl->...ijkl", second, eps_eps) + np.einsum("...il,...kj->...ijkl", crossed, crossed)


def normalised_variance(
    M: Float[ndarray, "... m h"], b: Float[ndarray, "... m"], sigma: Float[ndarray, "... h"]
) -> Scalars:
    """E‖G diag(σ⁻²) - M‖² = (Σ_j σ_j⁻²)(Σ_j σ_j²‖M_j‖² + ‖b‖²) + ‖M‖²: for equal scales (h+1)‖M‖² + h‖b‖²/σ².

    Example, the one above, divided by σ⁴ = 16:
        >>> normalised_variance(np.array([[1.0]]), np.array([3.0]), np.array([2.0]))
        np.float64(4.25)
    """
    # Term by term, for σ² may be 0 in float64.
    columns = np.sum(M**2, axis=-2)
    ratios = (sigma[..., None, :] / sigma[..., :, None]) ** 2
    others = np.sum(ratios * columns[..., None, :], axis=(-2, -1))
    return others + np.sum((b[..., None, :] / sigma[..., None]) ** 2, axis=(-2, -1)) + np.sum(columns, axis=-1)


def minibatch_variance(
    M: Float[ndarray, "... k m h"], b: Float[ndarray, "... k m"], sigma: Float[ndarray, "... h"]
) -> Scalars:
    """The same over k equally likely batches: E[normalised_variance] + E‖M_b‖² - ‖E M_b‖², their slopes varying.

    For equal scales (h+2)E‖M_b‖² - ‖E M_b‖² + hE‖b_b‖²/σ².

    Example, h = 1, slopes 1 and -1 about the exact Jacobian, with the control variate: 3·1 - 0:
        >>> minibatch_variance(np.array([[[1.0]], [[-1.0]]]), np.zeros((2, 1)), np.array([0.1])).round(9)
        np.float64(3.0)
    """
    squares = np.mean(np.sum(M**2, axis=(-2, -1)), axis=-1)
    within = np.mean(normalised_variance(M, b, sigma[..., None, :]), axis=-1)
    return within + squares - np.sum(np.mean(M, axis=-3) ** 2, axis=(-2, -1))
