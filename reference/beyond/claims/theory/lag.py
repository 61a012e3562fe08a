"""Beyond the paper: w0 that lags behind λ makes λ heavy, by Alg. 1's own steps."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from reference.beyond.control_variate.updates import inner_step
from reference.beyond.theory.lag import characteristic, decompose, iteration, monotone_step, stable_step
from reference.claims.instances import positive_definite
from reference.claims.registry import EXACT, Measured, claim
from reference.claims.routes import relative_error
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.rule.hypernet import FullResponse
from reference.rule.updates import DELTA_STN, State, outer_gradients


@dataclass(frozen=True)
class Loop:
    """Alg. 1 on C.9 with the exact Jacobian, all rows and ε = 0: T_train steps of w0, then one of λ."""

    problem: QuadraticProblem
    alpha1: float
    T_train: int
    alpha2: float

    @property
    def J(self) -> np.ndarray:
        """-A⁻¹B."""
        return self.problem.best_response_jacobian(np.zeros(self.problem.train.B.shape[-1]))

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float, int]:
        """A, J, H, α_1 and T_train."""
        return self.problem.train.A, self.J, self.problem.valid.A, self.alpha1, self.T_train

    def step(self, w: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The weights and λ after one outer step."""
        zero = np.zeros_like(lam)
        state = State(lam, zero + 1.0, w, FullResponse(self.J))
        for _ in range(self.T_train):
            state = inner_step(DELTA_STN, state, zero, self.problem, self.problem, self.alpha1)
        gradient, _ = outer_gradients(DELTA_STN, state, zero, self.problem)
        return state.w0, lam - self.alpha2 * gradient

    def matrix(self) -> np.ndarray:
        """Of the affine map that one outer step is, column by column."""
        m, h = self.J.shape

        def flat(x: np.ndarray) -> np.ndarray:
            return np.concatenate(self.step(x[:m], x[m:]))

        origin = flat(np.zeros(m + h))
        return np.stack([flat(e) - origin for e in np.eye(m + h)], axis=-1)


def loop(rng: Generator, m: int, h: int, commuting: bool) -> Loop:
    """A training loss with eigenvalues in [0.5, 2.5], a validation loss free of λ, and some steps; α_1a_i < 1."""
    A = positive_definite(rng, m)
    Q = np.linalg.eigh(A)[1]
    H = (Q * rng.uniform(0.5, 2.5, m)) @ Q.T if commuting else positive_definite(rng, m)
    zero, d = np.zeros((m, h)), rng.normal(size=(2, m))
    train = Quadratic(A, rng.normal(size=(m, h)), np.eye(h), d[0], np.zeros(h), np.float64(0))
    valid = Quadratic((H + H.T) / 2, zero, np.zeros((h, h)), d[1], np.zeros(h), np.float64(0))
    return Loop(QuadraticProblem(train, valid), rng.uniform(0.02, 0.3), int(rng.integers(1, 6)), rng.uniform(0.1, 1.0))


def radius(matrix: np.ndarray) -> float:
    """The largest modulus of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


@claim(
    "beyond 24",
    "For C.9 with the exact Jacobian, T_train steps of w0 and then one of λ have the characteristic polynomial "
    "Π_i (z - c_i) · det((z - 1)I + α_2(K + z Σ_i Γ_i (1 - c_i)/(z - c_i))), any m and h, K = ∂²L_V/∂λ².",
    EXACT,
)
def characteristic_polynomial(rng: Generator) -> float:
    m, h = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    drawn = loop(rng, m, h, commuting=False)
    K = positive_definite(rng, h)
    problem = replace(drawn.problem, valid=replace(drawn.problem.valid, C=K))
    drawn = replace(drawn, problem=problem)
    (c, Gamma), M = decompose(*drawn.parts), drawn.matrix()
    predicted = iteration(*drawn.parts, drawn.alpha2, K)
    errors = [relative_error(predicted, M)]
    for z in 2 * np.exp(2j * np.pi * rng.uniform(size=m + h + 1)):
        product = np.prod(z - c) * np.linalg.det(characteristic(z, c, Gamma, drawn.alpha2, K))
        errors.append(relative_error(product, np.linalg.det(z * np.eye(m + h) - M)))
    return max(errors)


@claim(
    "beyond 25",
    "For one weight that is momentum c = (1 - α_1a)^T_train with step α_2(1 - c): from w0 = r(λ), λ passes λ* if and "
    "only if α_2γ > (1 - √c)/(1 + √c), and converges if and only if α_2γ(1 - c) < 2(1 + c).",
    EXACT,
)
def heavy_ball(rng: Generator) -> Measured:
    drawn = loop(rng, 1, 1, commuting=True)
    c, Gamma = decompose(*drawn.parts)
    first, last = monotone_step(*drawn.parts), stable_step(*drawn.parts)
    edge, limit = (replace(drawn, alpha2=alpha2).matrix() for alpha2 in (first, last))
    errors = [momentum_error(drawn, c.item(), Gamma.item())]
    errors += [abs(np.trace(edge) ** 2 - 4 * np.linalg.det(edge)), abs(radius(limit) - 1)]
    passed = [passes(replace(drawn, alpha2=factor * first)) for factor in (0.8, 1.25)]
    errors += [float(passed != [False, True]), float(radius(replace(drawn, alpha2=1.01 * last).matrix()) <= 1)]
    return Measured(max(errors), f"λ passes λ* from {first * Gamma.item():.3g} of the step 1/γ on, c = {c.item():.3g}")


def momentum_error(drawn: Loop, c: float, gamma: float) -> float:
    """Between Alg. 1's λ and λ ← λ - α_2(1 - c)γ(λ - λ*) + c(λ - previous λ), over ten steps."""
    star = drawn.problem.optimum().lam_star
    lams = [star + 1.0]
    w = drawn.problem.best_response(lams[0])
    for _ in range(10):
        w, lam = drawn.step(w, lams[-1])
        lams.append(lam)
    differences = np.diff(lams, axis=0)
    pulls = drawn.alpha2 * (1 - c) * gamma * (np.array(lams[1:-1]) - star)
    return relative_error(differences[1:], c * differences[:-1] - pulls, np.abs(lams))


def passes(drawn: Loop) -> bool:
    """Whether λ, from λ* + 1 and its best response, is ever below λ* by more than rounding."""
    star = drawn.problem.optimum().lam_star
    lam, least = star + 1.0, 0.0
    w = drawn.problem.best_response(lam)
    for _ in range(300):
        w, lam = drawn.step(w, lam)
        least = min(least, (lam - star).item())
    return least < -1e-12


@claim(
    "beyond 26",
    "Where ∂²L_T/∂w² and ∂²L_V/∂w² commute (any m and h, 0 ≤ c_i < 1), λ converges if and only if α_2 λ_max(Σ_i Γ_i(1 "
    "- c_i)/(1 + c_i)) < 2; its modes are real, hence without oscillation, where α_2 λ_max(Σ_i Γ_i) ≤ (1 - √c)/(1 + "
    "√c) for the largest c; and complex ones are at most √c in modulus.",
    EXACT,
)
def commuting(rng: Generator) -> Measured:
    m = int(rng.integers(2, 5))
    drawn = loop(rng, m, int(rng.integers(2, m + 1)), commuting=True)
    (c, _), first, last = decompose(*drawn.parts), monotone_step(*drawn.parts), stable_step(*drawn.parts)
    real, half, limit = (
        np.linalg.eigvals(replace(drawn, alpha2=alpha2).matrix()) for alpha2 in (first, last / 2, last)
    )
    # Squared: a double root's imaginary part is the root of rounding.
    errors = [abs(np.abs(limit).max() - 1), np.max(real.imag**2), max(0.0, radius(np.diag(half)) - 1)]
    complex_modes = half[np.abs(half.imag) > 1e-6]
    errors.append(max(0.0, np.abs(complex_modes).max(initial=0.0) - np.sqrt(c.max())))
    return Measured(max(errors), f"real modes up to {first / last:.2g} of the largest step that converges")
