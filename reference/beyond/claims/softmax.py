"""Beyond the paper: softmax regression with decay, label smoothing and class weights tuned."""

import numpy as np
from numpy.random import Generator

from reference.beyond.control_variate.updates import inner_step
from reference.beyond.problems.logistic import Logistic
from reference.claims import instances
from reference.claims.registry import BOUND, DIFFERENCE, EXACT, claim
from reference.claims.routes import central_difference, relative_error
from reference.rule.hypernet import FullResponse
from reference.rule.updates import CENTERED_STN, DELTA_STN


def drawn(rng: Generator) -> tuple[Logistic, np.ndarray]:
    """Three classes and two inputs, all five hyperparameters, and a λ near decay 1 and no preference."""
    X, _, X_valid, _ = instances.data(rng, 2)
    t, t_valid = (np.append([0, 1, 2], rng.integers(0, 3, len(part) - 3)) for part in (X, X_valid))
    problem = Logistic(X, t, X_valid, t_valid, classes=3, divisor=rng.uniform(1.5, 4.5), h=5)
    return problem, rng.uniform(-1, 1, 5)


@claim(
    "beyond 20",
    "For softmax regression Newton's method finds r(λ) to rounding: ∇L_T(λ, r(λ)), here summed row by row and class by "
    "class from the loss's definition, is 0.",
    EXACT,
)
def best_response(rng: Generator) -> float:
    problem, lam = drawn(rng)
    r = problem.best_response(lam)
    gradient, W = np.exp(lam[0]) / problem.divisor * r, r.reshape(3, 2)
    smooth, weights = 1 / (1 + np.exp(-lam[1])), np.exp(lam[2:])
    for x, label in zip(problem.X, problem.t, strict=True):
        p = np.exp(W @ x) / np.sum(np.exp(W @ x))
        q = (1 - smooth) * (np.arange(3) == label) + smooth / 3
        gradient = gradient + weights[label] * np.outer(p - q, x).ravel() / len(problem.t)
    return relative_error(gradient, np.zeros_like(r), problem.decay(lam) * r)


@claim(
    "beyond 21",
    "Its gradient is the slope of its loss, its Jacobian by Eqn. 2.3 that of r, and Eqn. 2.4's hypergradient that of "
    "L_V(r(λ)), in decay, smoothing and class weights alike.",
    DIFFERENCE,
)
def slopes(rng: Generator) -> float:
    problem, lam = drawn(rng)
    Theta, g = problem.best_response_jacobian(lam), problem.hypergradient(lam)
    r, loss, w = problem.best_response, problem.outer_loss, rng.normal(size=6)
    gradient = central_difference(lambda w: problem.train_loss(lam, w), w)
    return max(
        relative_error(problem.grad_w(lam, w), gradient, problem.train_loss(lam, w)),
        relative_error(Theta, central_difference(r, lam), r(lam)),
        relative_error(g, central_difference(loss, lam), loss(lam)),
    )


@claim(
    "beyond 22",
    "Logits are linear in the weights, so linearising changes nothing: Δ-STN's steps are Centered STN's to the bit.",
    BOUND,
)
def one_method(rng: Generator) -> float:
    problem, lam = drawn(rng)
    states = [instances.setting(rng, problem, lam).state] * 2
    for _ in range(5):
        eps = rng.normal(size=5)
        pair = zip((DELTA_STN, CENTERED_STN), states, strict=True)
        states = [inner_step(method, state, eps, problem, problem, alpha1=0.1) for method, state in pair]
    Thetas = [state.response.Theta for state in states if isinstance(state.response, FullResponse)]
    return float(max(np.max(np.abs(a - b)) for a, b in (Thetas, [state.w0 for state in states])))


@claim(
    "beyond 23",
    "All class weights times a, and the decay times a, is a L_T: r(λ) stays, and (1, 0, 1, ..., 1) is a null direction "
    "of its Jacobian and of the hypergradient.",
    EXACT,
)
def null_direction(rng: Generator) -> float:
    problem, lam = drawn(rng)
    along = np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    r, Theta, g = problem.best_response(lam), problem.best_response_jacobian(lam), problem.hypergradient(lam)
    scaled = problem.train_loss(lam + np.log(2) * along, r)
    return max(
        relative_error(scaled, 2 * problem.train_loss(lam, r)),
        relative_error(problem.best_response(lam + along), r),
        relative_error(Theta @ along, np.zeros_like(r), Theta),
        relative_error(g @ along, 0.0, g),
    )
