"""Hu = g for a symmetric H that is only ever multiplied with, from k products.

name      symbol    shape
product   p ↦ Hp    m -> m
g, u      g, H⁻¹g   (m,)
k         k         ()
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from numpy import ndarray

Product = Callable[[Float[ndarray, "m"]], Float[ndarray, "m"]]


def neumann(product: Product, g: Float[ndarray, "m"], k: int, alpha: float) -> Float[ndarray, "m"]:
    """α Σ_{j≤k} (I - αH)^j g.

    Example, H = 2 and α = 1/4: 1/4 (1 + 1/2 + 1/4) on the way to 1/2:
        >>> neumann(lambda p: 2 * p, np.array([1.0]), k=2, alpha=0.25)
        array([0.4375])
    """
    term = total = g
    for _ in range(k):
        term = term - alpha * product(term)
        total = total + term
    return alpha * total


def conjugate_gradient(product: Product, g: Float[ndarray, "m"], k: int, tolerance: float = 0.0) -> Float[ndarray, "m"]:
    """Hestenes and Stiefel's iteration from 0; it ends early at the tolerance, or where pᵀHp is not positive.

    Example, two different eigenvalues take two products:
        >>> conjugate_gradient(lambda p: np.array([1.0, 4.0]) * p, np.array([1.0, 2.0]), k=2)
        array([1. , 0.5])
    """
    u, residual = np.zeros_like(g), g
    p, square = residual, residual @ residual
    least = tolerance**2 * square
    for _ in range(k):
        if square <= least:
            break
        Hp = product(p)
        curvature = p @ Hp
        if curvature <= 0:
            break
        u = u + square / curvature * p
        residual = residual - square / curvature * Hp
        p, square = residual + residual @ residual / square * p, residual @ residual
    return u
