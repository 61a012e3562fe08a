"""Where each method comes to rest on ridge (H.1, appendix G): exact minimisers of Eqns. 2.5, 3.10, D.9, G.2 and 2.7.

    name      symbol                  shape       meaning
    sigma     σ                       (..., 1)    perturbation scale, ε ~ N(0, σ²)
    a         exp(λ + σ²/2)           (..., 1)    E[exp(λ + ε)]
    c         n/divisor               ()          1 in H.1 and G.1; n where the penalty is undivided
    D         metric                  (..., m)    I in the paper
    m0 m1 m2  E[s], E[εs]/σ², E[ε²s]/σ²  (..., 1) moments of c times the penalty s(λ + ε)
    Theta     Θ                       (..., m, 1) learned Jacobian, in the centred form of Eqn. 3.1

The penalty s is exp (H.1) or the identity (G). Its moments are all that is needed, since E[s'] = E[εs]/σ² (Stein).
A penalty λ itself can be so low that there is no unique minimum: a ValueError.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.transforms import Exp, Linear
from reference.problems.ridge import Ridge


def penalty_moments(
    ridge: Ridge, lam: Float[ndarray, "... 1"], sigma: Float[ndarray, "... 1"]
) -> tuple[Float[ndarray, "... 1"], Float[ndarray, "... 1"], Float[ndarray, "... 1"]]:
    """c times E[s(λ+ε)], E[ε s(λ+ε)]/σ², E[ε² s(λ+ε)]/σ²: a, a, (1+σ²)a for exp; λ, 1, λ for the identity.

    Divided by σ², they have a value at every small σ, where σ² itself may be 0 in float64.

    Raises:
        ValueError: s is neither.

    Example, the penalty 5 itself, perturbed with σ = 2:
        >>> ones = np.ones((1, 1))
        >>> ridge = Ridge(ones, ones[0], ones, ones[0], divisor=1.0, s=Linear())
        >>> [float(m[0]) for m in penalty_moments(ridge, np.array([5.0]), np.array([2.0]))]
        [5.0, 1.0, 5.0]
    """
    c, variance = ridge.n / ridge.divisor, sigma**2
    if isinstance(ridge.s, Linear):
        return c * lam, c * np.ones_like(lam * variance), c * lam * np.ones_like(variance)
    if not isinstance(ridge.s, Exp):
        raise ValueError("the moments are known for a penalty exp(λ) or λ only")
    with np.errstate(over="ignore"):  # refused where it matters
        a = c * np.exp(lam + variance / 2)
    return a, a, (1 + variance) * a


def response_minimiser(
    ridge: Ridge, lam: Float[ndarray, "... 1"], w0: Float[ndarray, "... m"], sigma: Float[ndarray, "... 1"]
) -> Float[ndarray, "... m 1"]:
    """Eqn. 3.10 for fixed w0: Θ* = -(A + m2 D)⁻¹ m1 Dw0, for exp, c = 1 and D = I: -(A + a(1+σ²)I)⁻¹ a w0.

    Example, A = 1, σ = 1, λ = -1/2 (so a = 1): -(1 + 2)⁻¹ 3:
        >>> ones = np.ones((1, 1))
        >>> ridge = Ridge(ones, ones[0], ones, ones[0], divisor=1.0)
        >>> response_minimiser(ridge, np.array([-0.5]), np.array([3.0]), np.array([1.0]))
        array([[-1.]])
    """
    _, m1, m2 = penalty_moments(ridge, lam, sigma)
    return -ridge.equations.solve(m2, (m1 * ridge.metric * w0)[..., None])


def perturbed_best_response(
    ridge: Ridge, lam: Float[ndarray, "... 1"], sigma: Float[ndarray, "... 1"]
) -> Float[ndarray, "... m"]:
    """Eqn. D.1: argmin_w E[L_T(λ+ε, w)] = (A + m0 D)⁻¹ Xᵀt; for exp it is r(λ + σ²/2), not r(λ)."""
    m0, _, _ = penalty_moments(ridge, lam, sigma)
    return ridge.equations.fit(m0)


def appendix_d_response(
    ridge: Ridge, lam: Float[ndarray, "... 1"], w0: Float[ndarray, "... m"], sigma: Float[ndarray, "... 1"]
) -> Float[ndarray, "... m 1"]:
    """Eqns. D.8, D.9: Θ = -E[∂²L/∂w²]⁻¹ E[∂²L/∂w∂λ] at w0 = -(A + m0 D)⁻¹ m1 Dw0; for exp both factors are a.

    Example, the case above without its factor 1 + σ² = 2: -(1 + 1)⁻¹ 3:
        >>> ones = np.ones((1, 1))
        >>> ridge = Ridge(ones, ones[0], ones, ones[0], divisor=1.0)
        >>> appendix_d_response(ridge, np.array([-0.5]), np.array([3.0]), np.array([1.0]))
        array([[-1.5]])
    """
    m0, m1, _ = penalty_moments(ridge, lam, sigma)
    return -ridge.equations.solve(m0, (m1 * ridge.metric * w0)[..., None])


def joint_hessian(
    ridge: Ridge, lam: Float[ndarray, "... 1"], sigma: Float[ndarray, "... 1"]
) -> Float[ndarray, "... two_m two_m"]:
    """n ∂²/∂(w0, Θ)² of Eqn. 2.5 in its centred form: [[A + m0 D, σ²m1 D], [σ²m1 D, σ²(A + m2 D)]]."""
    (m0, m1, m2), variance = penalty_moments(ridge, lam, sigma), sigma[..., None] ** 2
    D = ridge.D[..., None] * np.eye(ridge.X.shape[-1])
    upper, corner, lower = np.broadcast_arrays(
        ridge.A + m0[..., None] * D, variance * m1[..., None] * D, variance * (ridge.A + m2[..., None] * D)
    )
    rows = [np.concatenate(pair, axis=-1) for pair in ((upper, corner), (corner, lower))]
    return np.concatenate(rows, axis=-2)


def joint_minimiser(
    ridge: Ridge, lam: Float[ndarray, "... 1"], sigma: Float[ndarray, "... 1"]
) -> tuple[Float[ndarray, "... m"], Float[ndarray, "... m 1"]]:
    """Eqn. 2.5, w0 and Θ together (STN; uncentred, Φ = Θ and φ0 = w0 - Θλ): `joint_hessian` (w0; Θ) = (Xᵀt; 0).

    The second line gives Θ = -m1 y with (A + m2 D) y = Dw0; the first then ((A + m0 D)D⁻¹(A + m2 D) - σ²m1² D) y = Xᵀt,
    a polynomial in D⁻¹A of which -p₁ and -p₂ are the roots: (A + p₁ D)D⁻¹(A + p₂ D) y = Xᵀt. For exp they are a g^±2
    with g = σ/2 + √(1 + σ²/4), for the identity c(λ ± σ).

    Raises:
        ValueError: the expected objective has no unique minimum (only where λ is the penalty itself).
    """
    m0, m1, m2 = penalty_moments(ridge, lam, sigma)
    c, g = ridge.n / ridge.divisor, sigma / 2 + np.hypot(1, sigma / 2)
    p1, p2 = (c * (lam + sigma), c * (lam - sigma)) if isinstance(ridge.s, Linear) else (m0 * g**2, m0 / g**2)
    fit = _unique(ridge, p2)
    return fit + ridge.equations.twice(p2, p1, m2 - p1), ridge.equations.twice(p2, p1, -m1)[..., None]


def appendix_g_minimiser(
    ridge: Ridge, lam: Float[ndarray, "... 1"], sigma: Float[ndarray, "... 1"]
) -> tuple[Float[ndarray, "... m"], Float[ndarray, "... m 1"]]:
    """Eqns. G.7 and G.8 solved together: (K - c²σ²DK⁻¹D) w0 = Xᵀt and Θ = -c K⁻¹Dw0, where λ is the penalty itself.

    They are `joint_minimiser` where λ is the penalty itself (Departure D7): Dw0 = Ky and Θ = -cy with
    (K + cσ D)D⁻¹(K - cσ D) y = Xᵀt.

    Raises:
        ValueError: s is not the identity, or an eigenvalue of D⁻¹K is not above cσ: the penalty λ + ε is then negative
            so often that the expected objective is flat along some (w0, Θ) or falls without bound.

    Example, K = 1 + 1 = 2, σ = 1, Xᵀt = 3: (2 - 1/2) w0 = 3, where the right answer is 3/2:
        >>> ones = np.ones((1, 1))
        >>> ridge = Ridge(ones, np.array([3.0]), ones, ones[0], divisor=1.0, s=Linear())
        >>> appendix_g_minimiser(ridge, np.array([1.0]), np.array([1.0]))
        (array([2.]), array([[-1.]]))
    """
    if not isinstance(ridge.s, Linear):
        raise ValueError("appendix G's λ is the penalty itself: use s=Linear()")
    return joint_minimiser(ridge, lam, sigma)


def _unique(ridge: Ridge, p: Float[ndarray, "... 1"]) -> Float[ndarray, "... m"]:
    try:
        return ridge.equations.fit(p)
    except ValueError as error:
        raise ValueError(
            f"the expected objective has no unique minimum in (w0, Θ) ({error}); lower σ or raise the penalty"
        ) from None


def scale_minimiser(
    Theta: Float[ndarray, "... m h"], hess_valid: Float[ndarray, "... m m"], tau: float
) -> Float[ndarray, "... h"]:
    """Eqn. 2.7 in σ, L_V quadratic in w and free of λ: σ_i = √(τ / (Θᵀ H_V Θ)_ii).

    Raises:
        ValueError: τ or a curvature (ΘᵀH_VΘ)_ii is not positive: the scale has no minimiser in (0, ∞).

    Example, a curvature of 2²·1 and τ = 1/4 give σ = 1/4:
        >>> scale_minimiser(np.array([[2.0]]), np.array([[1.0]]), tau=0.25)
        array([0.25])
    """
    curvature = np.sum(Theta * (hess_valid @ Theta), axis=-2)
    if tau <= 0 or np.any(curvature <= 0):
        raise ValueError("τ and every curvature (ΘᵀH_VΘ)_ii must be positive for a perturbation scale to settle")
    return np.sqrt(tau / curvature)
