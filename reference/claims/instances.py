"""Random instances for the claims: sizes, a spectrum and a seed; condition numbers stay below 1e3.

name     symbol     shape      meaning
P        P          (m, h)     which hyperparameter weighs on which weight: penalty exp((Pλ)_j) on w_j
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import Scalars
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Exp, Transform
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.problems.regression import Regression
from reference.problems.ridge import Ridge
from reference.problems.saturating import SaturatingSlopes
from reference.rule.hypernet import FullResponse
from reference.rule.updates import State


@dataclass(frozen=True)
class Setting:
    """Where a hypernetwork stands."""

    lam: Float[ndarray, "h"]
    sigma: Float[ndarray, "h"]
    w0: Float[ndarray, "m"]
    Theta: Float[ndarray, "m h"]

    @property
    def state(self) -> State:
        """The same as the update rules take it."""
        return State(self.lam, self.sigma, self.w0, FullResponse(self.Theta))


@dataclass(frozen=True)
class WeightwiseRidge(Regression):
    """L_T = (1/2n)(‖Xw - t‖² + Σ_j exp((Pλ)_j) w_j²): ridge with several hyperparameters, for claims about any h.

    Example, X = I and both penalties exp(0) = 1, so r = t/2:
        >>> eye, t = np.eye(2), np.array([2.0, 4.0])
        >>> WeightwiseRidge(eye, t, eye, t, P=np.eye(2)).best_response(np.zeros(2))
        array([1., 2.])
    """

    P: Float[ndarray, "m h"]

    def penalties(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """exp(Pλ)."""
        return np.exp(np.matvec(self.P, lam))

    def best_response(self, lam: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        return np.linalg.solve(self.n * self.train_hess_vv(lam, self.Xt), self.Xt[..., None])[..., 0]

    def train_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Scalars:
        residual = np.matvec(self.X, v) - self.t
        return (np.sum(residual**2, axis=-1) + np.sum(self.penalties(lam) * v**2, axis=-1)) / (2 * self.n)

    def train_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return (np.matvec(self.A, v) - self.Xt + self.penalties(lam) * v) / self.n

    def train_hess_vv(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return (self.A + self.penalties(lam)[..., None] * np.eye(self.X.shape[-1])) / self.n

    def train_hess_vlam(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... m"]) -> Float[ndarray, "... m h"]:
        return (self.penalties(lam) * v)[..., None] * self.P / self.n


def positive_definite(rng: np.random.Generator, m: int) -> Float[ndarray, "m m"]:
    """A symmetric matrix with eigenvalues in [0.5, 2.5]."""
    Q = np.linalg.qr(rng.normal(size=(m, m)))[0]
    half = (Q * rng.uniform(0.5, 2.5, m)) @ Q.T / 2
    return half + half.T


def data(rng: np.random.Generator, m: int) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """X, t, X_valid, t_valid with the eigenvalues of XᵀX/n in [0.5, 2.5], and more validation rows than n."""
    n = m + int(rng.integers(2, 6))
    v = n + int(rng.integers(1, 4))
    X = np.linalg.qr(rng.normal(size=(n, m)))[0] * np.sqrt(n * rng.uniform(0.5, 2.5, m))
    X = X @ np.linalg.qr(rng.normal(size=(m, m)))[0]
    return X, rng.normal(size=n), rng.normal(size=(v, m)), rng.normal(size=v)


def ridge(rng: np.random.Generator, divided: bool = True, s: Transform | None = None) -> tuple[Ridge, ndarray]:
    """H.1 (or figure 8's, or appendix G's), and a λ at which penalty and data weigh about the same."""
    arrays = data(rng, int(rng.integers(2, 6)))
    s, divisor = s or Exp(), float(len(arrays[1])) if divided else 1.0
    return Ridge(*arrays, divisor=divisor, s=s), np.array([s.inverse(divisor * np.exp(rng.uniform(-1, 1)))])


def dropout(rng: np.random.Generator, inverted: bool = True) -> tuple[InputDropout, ndarray]:
    """H.2 with a rate between 0.27 and 0.73."""
    return InputDropout(*data(rng, int(rng.integers(2, 6))), inverted=inverted), rng.uniform(-1, 1, 1)


def weightwise(rng: np.random.Generator, h: int = 2) -> tuple[WeightwiseRidge, ndarray]:
    """Ridge with h hyperparameters and more weights than that; every row of P is one or two of them."""
    m = int(rng.integers(h + 1, h + 4))
    problem = WeightwiseRidge(*data(rng, m), P=rng.uniform(-0.7, 0.7, size=(m, h)))
    return problem, np.log(problem.n) * np.ones(h) + rng.uniform(-1, 1, h)


def penalties(rng: np.random.Generator, h: int = 2) -> tuple[WeightwiseRidge, ndarray]:
    """H.1 with a penalty for each of h groups of features, and more features than groups: P's rows are unit vectors."""
    m = int(rng.integers(h + 1, h + 4))
    problem = WeightwiseRidge(*data(rng, m), P=np.eye(h)[np.arange(m) % h])
    return problem, np.log(problem.n) + rng.uniform(-1, 1, h)


def quadratic(rng: np.random.Generator) -> tuple[QuadraticProblem, ndarray]:
    """C.9 for both losses, jointly convex, with m in 2-4 and h in 2-3."""
    m, h = int(rng.integers(2, 5)), int(rng.integers(2, 4))

    def loss() -> Quadratic:
        M = positive_definite(rng, m + h)
        A, B, C = M[:m, :m], M[:m, m:], M[m:, m:]
        return Quadratic(A, B, C, rng.normal(size=m), rng.normal(size=h), np.float64(rng.normal()))

    return QuadraticProblem(loss(), loss()), rng.normal(size=h)


def network(rng: np.random.Generator, depth: int = 2) -> tuple[LinearNetwork, ndarray, ndarray]:
    """H.4 with two inputs, a λ, and weights near the identity."""
    arrays = data(rng, 2)
    problem = LinearNetwork(*arrays, divisor=float(len(arrays[1])), depth=depth)
    square = np.eye(2) + rng.uniform(-0.3, 0.3, size=(depth, 2, 2))
    return problem, np.log(problem.n) + rng.uniform(-1, 1, 1), np.append(square.ravel(), rng.normal(size=2))


def saturating(rng: np.random.Generator) -> tuple[SaturatingSlopes, ndarray]:
    """Figure 2's problem, the largest best slope at 30 to 80 per cent of its bound, small ones below that."""
    plain, lam = ridge(rng)
    v = np.abs(plain.best_response(lam))
    c = np.maximum(v, v.max() / 4) / rng.uniform(0.3, 0.8, v.shape)
    arrays = plain.X, plain.t, plain.X_valid, plain.t_valid
    return SaturatingSlopes(*arrays, divisor=plain.divisor, c=c), lam


def problems(rng: np.random.Generator) -> list[tuple[Problem, ndarray]]:
    """One of each kind with a unique best response in w, and a λ."""
    kinds = (ridge, dropout, weightwise, quadratic, saturating)
    return [*(kind(rng) for kind in kinds), ridge(rng, divided=False), dropout(rng, inverted=False)]


def setting(rng: np.random.Generator, problem: Problem, lam: Float[ndarray, "h"]) -> Setting:
    """Random weights, response and scales at λ."""
    m, h = problem.best_response_jacobian(lam).shape
    return Setting(lam, rng.uniform(0.2, 1.0, h), rng.normal(size=m), rng.normal(size=(m, h)))
