"""Both losses of a problem written for any array library: NumPy, PyTorch or JAX, so that it can differentiate them.

name        symbol       shape
lam         λ            (h,)      an array of the library
w           w            (m,)      likewise
v           f(w)         (k,)      outputs
xp          -            -         numpy, torch or jax.numpy: whatever has `exp`, `log` and `tanh`
asarray     -            -         makes the library's array of a NumPy array
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from reference.beyond.problems.grouped import GroupedRegression
from reference.beyond.problems.logistic import Logistic
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Linear
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.problems.regression import Regression
from reference.problems.ridge import Ridge
from reference.problems.saturating import SaturatingSlopes

Loss = Callable[[Any, Any], Any]


def losses(problem: Problem, xp: Any, asarray: Callable[[Any], Any]) -> tuple[Loss, Loss]:
    """L_T and L_V, functions of (λ, w) that return a scalar.

    Raises:
        TypeError: the problem is of a kind that is not written out here.

    Example:
        >>> import numpy as np
        >>> ones = np.ones((1, 1))
        >>> train, valid = losses(Ridge(ones, ones[0], ones, ones[0], divisor=1.0), np, np.asarray)
        >>> train(np.zeros(1), np.array([3.0])), valid(np.zeros(1), np.array([3.0]))  # (4 + 9)/2 and 4/2
        (np.float64(6.5), np.float64(2.0))
    """
    if isinstance(problem, QuadraticProblem):
        return _quadratic(problem.train, asarray), _quadratic(problem.valid, asarray)
    if isinstance(problem, Logistic):
        return _logistic(problem, xp, asarray)
    if not isinstance(problem, Regression):
        raise TypeError(f"{type(problem).__name__} is not written for other array libraries")
    f, penalty = _network(problem, xp, asarray), _penalty(problem, xp, asarray)
    X, t, X_valid, t_valid = (asarray(part) for part in (problem.X, problem.t, problem.X_valid, problem.t_valid))

    def train(lam: Any, w: Any) -> Any:
        v = f(w)
        return ((X @ v - t) ** 2).sum() / (2 * problem.n) + penalty(lam, v)

    def valid(lam: Any, w: Any) -> Any:
        return ((X_valid @ f(w) - t_valid) ** 2).sum() / (2 * len(problem.t_valid))

    return train, valid


def _quadratic(quadratic: Quadratic, asarray: Callable[[Any], Any]) -> Loss:
    """Eqn. C.9."""
    A, B, C, d, e = (asarray(getattr(quadratic, name)) for name in "ABCde")
    c = float(quadratic.c)
    return lambda lam, w: w @ (A @ w) / 2 + w @ (B @ lam) + lam @ (C @ lam) / 2 + d @ w + e @ lam + c


def _logistic(problem: Logistic, xp: Any, asarray: Callable[[Any], Any]) -> tuple[Loss, Loss]:
    """Cross entropy of softmax regression with decay, label smoothing and class weights."""
    X, T, X_valid, T_valid = (asarray(part) for part in (problem.X, problem.T, problem.X_valid, problem.T_valid))
    c, h = problem.classes, problem.h

    def log_p(X: Any, w: Any) -> Any:
        logits = X @ w.reshape(c, -1).T  # small enough to be exponentiated as they are
        return logits - xp.log(xp.exp(logits).sum(1))[:, None]

    def train(lam: Any, w: Any) -> Any:
        smooth = 1 / (1 + xp.exp(-lam[1])) if h > 1 else 0.0
        Q = (1 - smooth) * T + smooth / c
        weights = T @ xp.exp(lam[2:]) if h > 2 else 1.0
        return -(weights * (Q * log_p(X, w)).sum(1)).sum() / problem.n + xp.exp(lam[0]) * (w**2).sum() / (
            2 * problem.divisor
        )

    return train, lambda lam, w: -(T_valid * log_p(X_valid, w)).sum() / len(problem.t_valid)


def _network(problem: Regression, xp: Any, asarray: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """w -> v."""
    if isinstance(problem, SaturatingSlopes):
        c = asarray(problem.c)
        return lambda w: c * xp.tanh(w)
    if isinstance(problem, LinearNetwork):
        m, depth = problem.X.shape[-1], problem.depth

        def product(w: Any) -> Any:
            v = w[depth * m * m :]
            for k in reversed(range(depth)):
                v = v @ w[k * m * m : (k + 1) * m * m].reshape(m, m)
            return v

        return product
    return lambda w: w


def _penalty(problem: Regression, xp: Any, asarray: Callable[[Any], Any]) -> Loss:
    """What depends on λ: Eqn. H.1, the expectation of Eqn. H.2 with inverted scaling, and both by groups.

    Raises:
        TypeError: another kind of problem.
    """
    n = problem.n
    if isinstance(problem, GroupedRegression):
        group, d = np.array(problem.group), asarray(problem.d)
        return lambda lam, v: (xp.exp(lam)[group] * d * v**2).sum() / (2 * n)
    if isinstance(problem, InputDropout) and problem.inverted:
        D = asarray(problem.D)
        return lambda lam, v: xp.exp(lam)[0] * (D * v**2).sum() / (2 * n)
    if isinstance(problem, Ridge):
        s = (lambda lam: lam[0]) if isinstance(problem.s, Linear) else (lambda lam: xp.exp(lam)[0])
        D = asarray(problem.D)
        return lambda lam, v: s(lam) * (D * v**2).sum() / (2 * problem.divisor)
    raise TypeError(f"{type(problem).__name__} is not written for other array libraries")
