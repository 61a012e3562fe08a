"""The price of a piece of work in gradient-equivalents, as reference/beyond/estimators defines them.

name      symbol    shape    meaning
n, m, h   n, m, h   ()       training rows, weights, hyperparameters

What a search does beside solving, its own models among it, is time and not price.
"""

from reference.beyond.estimators.hypernetwork import Hypernetwork
from reference.rule.updates import Method


def algebra(operations: float, n: int, m: int) -> float:
    """Algebra with matrices.

    Example, forming XᵀX, nm² operations, for m = 8:
        >>> algebra(100 * 8**2, n=100, m=8)
        2.0
    """
    return operations / (4 * n * m)


def forming(n: int, m: int) -> float:
    """XᵀX, or the Hessian of logistic regression, whose c² blocks of p² are m² numbers as well."""
    return algebra(n * m**2, n, m)


def solving(n: int, m: int) -> float:
    """A factorisation, and a system solved with it."""
    return algebra(m**3 / 3 + 2 * m**2, n, m)


def inner_step(method: Method, batch: int, n: int, h: int) -> float:
    """One inner step of Alg. 1 on a mini-batch, with two products with Θ."""
    gradients = Hypernetwork(method, sigma=1.0, alpha1=1.0).gradients()
    return gradients * batch / n + 2 * h / (2 * n)


def outer_step(n: int, h: int) -> float:
    """One outer step: ∂L_V/∂w, counted as n rows, and two products with Θ."""
    return 1.0 + 2 * h / (2 * n)
