"""The lag of w0 is heavy-ball momentum: (z - 1)I + α_2 (K + z Σ_i Γ_i (1 - c_i)/(z - c_i)) is singular at λ's modes z.

    name      symbol                   shape        meaning
    A         ∂²L_T/∂w²                (m, m)       eigenpairs (a_i, q_i)
    J         ∂r/∂λ                    (m, h)       for C.9 -A⁻¹B, the same at every λ
    H         ∂²L_V/∂w²                (m, m)
    K         (∂²r/∂λ²)ᵀ ∂L_V/∂w       (h, h)       0 for C.9; slope in λ of the outer gradient at fixed w0
    alpha1    α_1                      ()           w0's step; T_train of them, then one of λ
    alpha2    α_2                      ()           λ's step, gradient descent on L_V(r(λ))
    c         c_i = (1-α_1a_i)^T_train (m,)         what is left of w0 - r(λ) along q_i
    Gamma     Γ_i = (JᵀHq_i)(q_iᵀJ)    (m, h, h)    Σ_i Γ_i = JᵀHJ, the Hessian of L_V(r(λ)) where K = 0

Alg. 1 with the exact Jacobian, all rows and ε = 0: w ← w - α_1 ∇_w L_T(λ, w) T_train times, then
λ ← λ - α_2 Jᵀ∇L_V(w), at the new w. Exact for C.9 with an L_V that is free of λ; else linearised at (λ*, r(λ*)).
Statement, proof and example: lag.md.
"""

import numpy as np
from jaxtyping import Complex, Float
from numpy import ndarray


def decompose(
    A: Float[ndarray, "m m"], J: Float[ndarray, "m h"], H: Float[ndarray, "m m"], alpha1: float, T_train: int
) -> tuple[Float[ndarray, "m"], Float[ndarray, "m h h"]]:
    """c_i and Γ_i, in the order of A's eigenvalues.

    Example, one weight with a = 1, half of whose distance is left, J = 2, H = 3:
        >>> ones = np.ones((1, 1))
        >>> decompose(ones, 2 * ones, 3 * ones, alpha1=0.5, T_train=1)
        (array([0.5]), array([[[12.]]]))
    """
    a, Q = np.linalg.eigh(A)
    return (1 - alpha1 * a) ** T_train, np.einsum("ki,il->ikl", J.T @ H @ Q, Q.T @ J)


def characteristic(
    z: complex, c: Float[ndarray, "m"], Gamma: Float[ndarray, "m h h"], alpha2: float, K: Float[ndarray, "h h"]
) -> Complex[ndarray, "h h"]:
    """(z - 1)I + α_2 (K + z Σ_i Γ_i (1 - c_i)/(z - c_i)); singular at the modes that are no c_i."""
    passed = np.einsum("i,ikl->kl", (1 - c) / (z - c), Gamma)
    return (z - 1) * np.eye(len(K)) + alpha2 * (K + z * passed) + 0j


def iteration(
    A: Float[ndarray, "m m"],
    J: Float[ndarray, "m h"],
    H: Float[ndarray, "m m"],
    alpha1: float,
    T_train: int,
    alpha2: float,
    K: Float[ndarray, "h h"],
) -> Float[ndarray, "mh mh"]:
    """The matrix that takes (w - r(λ*), λ - λ*) to its next value; its eigenvalues are the modes.

    Example, c = 1/2 and α_2γ = 1/2: momentum 1/2 with step (1 - c)α_2, so z² - (1 + c - (1 - c)α_2γ)z + c = 0:
        >>> ones = np.ones((1, 1))
        >>> M = iteration(ones, ones, ones, alpha1=0.5, T_train=1, alpha2=0.5, K=0 * ones)
        >>> np.poly(np.linalg.eigvals(M)).round(12)
        array([ 1.  , -1.25,  0.5 ])
    """
    P = np.linalg.matrix_power(np.eye(len(A)) - alpha1 * A, T_train)
    followed = J - P @ J  # of a change of λ, in T_train steps
    of_w = -alpha2 * J.T @ H @ P
    of_lam = np.eye(len(K)) - alpha2 * (J.T @ H @ followed + K)
    return np.block([[P, followed], [of_w, of_lam]])


def stable_step(
    A: Float[ndarray, "m m"], J: Float[ndarray, "m h"], H: Float[ndarray, "m m"], alpha1: float, T_train: int
) -> float:
    """2 / λ_max(Σ_i Γ_i (1 - c_i)/(1 + c_i)): λ converges below this α_2 and no further (AH = HA, K = 0).

    Example, m = 1, c = 1/2, γ = 12: α_2γ(1 - c) < 2(1 + c):
        >>> ones = np.ones((1, 1))
        >>> round(stable_step(ones, 2 * ones, 3 * ones, alpha1=0.5, T_train=1) * 12 * (1 - 0.5), 12)
        3.0
    """
    P, eye = _contraction(A, H, alpha1, T_train), np.eye(len(A))
    return float(2 / np.linalg.eigvalsh(J.T @ H @ np.linalg.solve(eye + P, eye - P) @ J)[-1])


def monotone_step(
    A: Float[ndarray, "m m"], J: Float[ndarray, "m h"], H: Float[ndarray, "m m"], alpha1: float, T_train: int
) -> float:
    """(1 - √c)/(1 + √c) / λ_max(JᵀHJ), c the largest c_i: up to this α_2 every mode is real (AH = HA, K = 0).

    For m = 1 and beyond it λ passes λ*.

    Example, c = 1/4: 1/3 of what w0 = r(λ) would bear without passing λ*, 1/γ:
        >>> ones = np.ones((1, 1))
        >>> round(monotone_step(ones, 2 * ones, 3 * ones, alpha1=0.5, T_train=2) * 12, 12)
        0.333333333333
    """
    root = np.sqrt(np.linalg.eigvalsh(_contraction(A, H, alpha1, T_train))[-1])
    return float((1 - root) / (1 + root) / np.linalg.eigvalsh(J.T @ H @ J)[-1])


def steps_to_follow(alpha1: float, a: float, outer: float) -> float:
    """The T_train above which w0 follows a λ with outer = α_2γ < 1: 4 artanh(α_2γ) / -log(1 - α_1a), a the least a_i.

    Example: T_train ≈ 4α_2γ / (α_1a) where both are small:
        >>> round(steps_to_follow(alpha1=0.01, a=1.0, outer=0.05), 1)
        19.9
    """
    if not (0 < alpha1 * a < 1 and 0 <= outer < 1):
        raise ValueError(f"α_1a = {alpha1 * a:g} must lie in (0, 1) and α_2γ = {outer:g} in [0, 1): shorten the steps")
    return float(4 * np.arctanh(outer) / -np.log1p(-alpha1 * a))


def _contraction(A: ndarray, H: ndarray, alpha1: float, T_train: int) -> ndarray:
    # P = (I - α_1A)^T_train, where both steps' theory holds.
    steps, curvatures = alpha1 * np.linalg.eigvalsh(A), np.linalg.eigvalsh(H)
    if not (steps[0] > 0 and steps[-1] <= 1):
        raise ValueError(f"α_1a_i lies between {steps[0]:g} and {steps[-1]:g}, not in (0, 1]: change α_1")
    if not (curvatures[0] >= -1e-9 * curvatures[-1] and np.abs(A @ H - H @ A).max() <= 1e-9 * np.abs(A @ H).max()):
        raise ValueError("H has a negative eigenvalue, or A and H do not commute: see the eigenvalues of `iteration`")
    return np.linalg.matrix_power(np.eye(len(A)) - alpha1 * A, T_train)
