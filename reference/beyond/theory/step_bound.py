"""With n draws of ε a step, Θ's mean square error along q changes by 1 - 2αa + α²a²(1 + (h+1)/n).

    name        symbol                 shape      meaning
    E           (Θ - Θ*) diag(σ)       (m, h)     Θ's error, column j in units of 1/σ_j
    S           E[E Eᵀ]                (m, m)     along a unit vector q the mean square is qᵀSq
    curvatures  A_i                    (n, m, m)  ∂²L_i/∂w² of example i; A = (1/n) Σ_i A_i
    curvature   a                      ()         an eigenvalue of A, Aq = aq
    n           n                      ()         draws of ε ~ N(0, diag(σ²)) a step: examples, or 1
    alpha       α                      ()         Θ's step, column j's divided by σ_j²

Eqn. C.9 and, to leading order in σ, any smooth loss. Example i sees ε_i = diag(σ)z_i, its slope is A_i(Θ - Θ*) at w0's
optimum, and one step is E ← E - (α/n) Σ_i A_i E z_i z_iᵀ. Statement, proof and example: step_bound.md.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def growth(step: float, h: int, n: int) -> float:
    """1 - 2x + x²(1 + (h+1)/n) with x = αa: factor of qᵀSq in a step where all examples have the same curvature.

    Example, h = 26 drop rates, x = 0.28: with a draw for each of 128 examples, and with one for all of them:
        >>> round(growth(0.28, h=26, n=128), 4), round(growth(0.28, h=26, n=1), 4)
        (0.5349, 2.6352)
    """
    return 1 - 2 * step + step**2 * (1 + (h + 1) / n)


def largest_step(curvature: float, h: int, n: int) -> float:
    """2 / ((1 + (h+1)/n) a): below it the mean square falls in every direction of curvature up to a; n = 1: 2/((h+2)a).

    Example:
        >>> largest_step(1.0, h=6, n=1), largest_step(1.0, h=6, n=28)
        (0.25, 1.6)
    """
    return 2 / ((1 + (h + 1) / n) * curvature)


def second_moment_step(
    S: Float[ndarray, "m m"], curvatures: Float[ndarray, "n m m"], alpha: float, h: int
) -> Float[ndarray, "m m"]:
    """(I - αA) S (I - αA) + α² (h+1)/n · (1/n) Σ_i A_i S A_i: the next S, the n examples fixed.

    Example, two examples that share one curvature a = 1, at αa = 1/2 and h = 1: growth(1/2, 1, 2) = 1/2:
        >>> second_moment_step(np.ones((1, 1)), np.ones((2, 1, 1)), alpha=0.5, h=1)
        array([[0.5]])
    """
    n, A = len(curvatures), curvatures.mean(axis=0)
    mean = S - alpha * (A @ S)
    mean = mean - alpha * (mean @ A)
    return mean + alpha**2 * (h + 1) / n * (curvatures @ S @ curvatures).mean(axis=0)


def safe_step(curvatures: Float[ndarray, "n m m"], h: int) -> float:
    """2 / (λ_max(A) + (h+1)/n · max_i λ_max(A_i)): below it E‖E‖² falls, whatever the A_i ≥ 0 have in common.

    Example, two examples that curve the loss along one axis each, h = 3: A = I/2, so 2/(1/2 + 4/2):
        >>> safe_step(np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]), h=3)
        0.8
    """
    largest = np.linalg.eigvalsh(curvatures)[..., -1].max()
    return float(2 / (np.linalg.eigvalsh(curvatures.mean(axis=0))[-1] + (h + 1) / len(curvatures) * largest))
