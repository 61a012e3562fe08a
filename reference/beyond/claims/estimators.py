"""Beyond the paper: how each way to Eqn. 2.4 tends to it as its budget grows, and at what price.

name      symbol          shape     meaning
H, B      ∂²L_T/∂w²       (m, m)    and ∂²L_T/∂w∂λ, at the best response r
g, u      ∂L_V/∂w, H⁻¹g   (m,)
alpha     α               ()        1/(the largest eigenvalue of H)
k, T      k, T            ()        products with H; steps that are differentiated
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from reference.beyond.estimators.estimator import Estimator
from reference.beyond.estimators.implicit import Cholesky, ConjugateGradient, Neumann, OneStep
from reference.beyond.estimators.solvers import conjugate_gradient, neumann
from reference.beyond.estimators.unrolling import ForwardUnrolling, ReverseUnrolling
from reference.bilevel.problem import Problem
from reference.claims import instances
from reference.claims.instances import WeightwiseRidge
from reference.claims.registry import BOUND, EXACT, Measured, claim
from reference.claims.routes import relative_error


@dataclass(frozen=True)
class AtRest:
    """A problem at λ and r(λ), with Eqn. 2.4's parts as dense matrices."""

    problem: Problem
    lam: ndarray
    r: ndarray
    H: ndarray
    B: ndarray
    g: ndarray

    @property
    def u(self) -> ndarray:
        return np.linalg.solve(self.H, self.g)

    @property
    def alpha(self) -> float:
        return float(1 / np.linalg.eigvalsh(self.H)[-1])

    def gradient(self, u: ndarray) -> ndarray:
        """Eqn. 2.4 with anything in the place of H⁻¹g."""
        return self.problem.valid_grad_lam(self.lam, self.r) - u @ self.B

    def estimate(self, estimator: Estimator, budget: float) -> tuple[ndarray, float]:
        """An estimator's hypergradient here, and its price."""
        estimate = estimator(self.problem, self.lam, self.r, budget, np.random.default_rng(0))
        return estimate.gradient, estimate.price


def at_rest(rng: Generator) -> Iterator[AtRest]:
    """Ridge, ridge with two hyperparameters, and C.9."""
    for problem, lam in (instances.ridge(rng), instances.weightwise(rng), instances.quadratic(rng)):
        r = problem.best_response(lam)
        parts = problem.hess_ww(lam, r), problem.hess_wlam(lam, r), problem.valid_grad_w(lam, r)
        yield AtRest(problem, lam, r, *parts)


@claim(
    "beyond 11",
    "A factorisation of H = ∂²L_T/∂w² is exact, and so is conjugate gradient after m products with H, for 3 + 2m "
    "gradient-equivalents whatever h. After k < m products its error, in the norm of H, is at most "
    "2((√κ - 1)/(√κ + 1))^k of H⁻¹g.",
    EXACT,
)
def krylov(rng: Generator) -> float:
    errors = []
    for place in at_rest(rng):
        m, mu = len(place.r), np.linalg.eigvalsh(place.H)
        gradient, price = place.estimate(ConjugateGradient(), 3.0 + 2 * m)
        scale = place.gradient(place.u), np.linalg.norm(place.B)
        factorised, _ = place.estimate(Cholesky(), 0.0)
        exact = place.problem.hypergradient(place.lam)
        errors += [relative_error(estimate, exact, *scale) for estimate in (gradient, factorised)]
        errors += [max(0.0, price - 3 - 2 * m)]
        root = np.sqrt(mu[-1] / mu[0])
        for k in range(1, m):
            off = conjugate_gradient(lambda p, H=place.H: H @ p, place.g, k) - place.u
            bound = 4 * ((root - 1) / (root + 1)) ** (2 * k) * (place.u @ place.H @ place.u)
            errors.append(max(0.0, float(off @ place.H @ off) - bound))
    return max(errors)


@claim(
    "beyond 12",
    "The Neumann series after k products is off by ((I - αH)^{k+1} H⁻¹g)ᵀB: by the spectral radius of I - αH to the "
    "power k + 1 at most, and by no less where g is its slowest direction.",
    EXACT,
)
def geometric(rng: Generator) -> Measured:
    errors, radii = [], []
    for place in at_rest(rng):
        mu, Q = np.linalg.eigh(place.H)
        radius = 1 - place.alpha * mu[0]
        for k in (0, 1, 5, 20):
            tail = np.linalg.matrix_power(np.eye(len(mu)) - place.alpha * place.H, k + 1) @ place.u
            gradient, _ = place.estimate(Neumann(place.alpha), 3.0 + 2 * k)
            desired = place.problem.hypergradient(place.lam) + tail @ place.B
            errors.append(relative_error(gradient, desired, np.linalg.norm(place.u) * np.linalg.norm(place.B)))
            errors.append(max(0.0, float(np.linalg.norm(tail) / np.linalg.norm(place.u) - radius ** (k + 1))))
            slowest = neumann(lambda p, H=place.H: H @ p, Q[:, 0], k, place.alpha)
            errors.append(relative_error(slowest, (1 - radius ** (k + 1)) / mu[0] * Q[:, 0]))
        radii.append(radius)
    return Measured(max(errors), f"radii {', '.join(f'{radius:.2f}' for radius in radii)}")


@claim(
    "beyond 13",
    "From r(λ), unrolling cut to its last T steps, forwards or backwards and after any number of steps, is the Neumann "
    "series of T terms; T1-T2 is the first term of both.",
    EXACT,
)
def unrolled(rng: Generator) -> float:
    errors = []
    for place in at_rest(rng):
        T, steps, h, size = int(rng.integers(1, 6)), int(rng.integers(6, 9)), len(place.lam), np.linalg.norm(place.B)
        series, _ = place.estimate(Neumann(place.alpha), 3.0 + 2 * (T - 1))
        for kind, products in ((ReverseUnrolling, 1), (ForwardUnrolling, h)):
            gradient, _ = place.estimate(kind(place.alpha, last=T), 1.0 + steps + 2 * products * T)
            errors.append(relative_error(gradient, series, np.linalg.norm(place.u) * size))
        first = place.gradient(place.alpha * place.g)
        for estimator in (OneStep(place.alpha), Neumann(place.alpha), ReverseUnrolling(place.alpha, last=1)):
            gradient, _ = place.estimate(estimator, 3.0 if not isinstance(estimator, ReverseUnrolling) else 3.0 + steps)
            errors.append(relative_error(gradient, first, np.linalg.norm(place.u) * size))
    return max(errors)


@dataclass(frozen=True)
class Counting(WeightwiseRidge):
    """The same problem with counts of what is asked of it, by the weights, for products also by the vector u."""

    gradients: Counter[bytes] = field(default_factory=Counter)
    hessian: Counter[bytes] = field(default_factory=Counter)
    cross: Counter[bytes] = field(default_factory=Counter)

    def grad_w(self, lam: Any, w: Any) -> Any:
        self.gradients[w.tobytes()] += 1
        return super().grad_w(lam, w)

    def valid_grad_w(self, lam: Any, w: Any) -> Any:
        self.gradients[w.tobytes()] += 1
        return super().valid_grad_w(lam, w)

    def hess_vec(self, lam: Any, w: Any, dw: Any) -> Any:
        self.hessian.update(w.tobytes() + u.tobytes() for u in np.atleast_2d(dw))
        return super().hess_vec(lam, w, dw)

    def cross_vec(self, lam: Any, w: Any, u: Any) -> Any:
        self.cross[w.tobytes() + u.tobytes()] += 1
        return super().cross_vec(lam, w, u)

    @property
    def products(self) -> int:
        """∂²L_T/∂w² u and uᵀ ∂²L_T/∂w∂λ at one w with one u, one product: what one reverse pass gives."""
        return (self.hessian | self.cross).total()


@claim(
    "beyond 14",
    "A price is what was used, as counted: a gradient 1, a product with second derivatives 2, so 3 + 2k for k products "
    "and an adjoint, 1 + K + 2T for K steps of which T are differentiated backwards, 1 + K + 2hT forwards.",
    BOUND,
)
def priced(rng: Generator) -> float:
    plain, lam = instances.weightwise(rng)
    k, T = int(rng.integers(1, plain.X.shape[-1])), int(rng.integers(1, 5))
    K, h = T + int(rng.integers(1, 4)), len(lam)
    bought = (
        (ConjugateGradient(), 3 + 2 * k),
        (Neumann(0.01), 3 + 2 * k),
        (OneStep(0.01), 3),
        (ReverseUnrolling(0.01, last=T), 1 + K + 2 * T),
        (ForwardUnrolling(0.01, last=T), 1 + K + 2 * h * T),
    )
    errors = []
    for estimator, price in bought:
        problem = Counting(plain.X, plain.t, plain.X_valid, plain.t_valid, P=plain.P)
        estimate = estimator(problem, lam, rng.normal(size=plain.X.shape[-1]), float(price), rng)
        used = problem.gradients.total() + 2 * problem.products
        errors += [abs(estimate.price - used), abs(used - price)]
    return max(errors)
