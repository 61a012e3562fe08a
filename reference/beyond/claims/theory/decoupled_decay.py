"""Beyond the paper: what AdamW's decoupled decay penalises, by AdamW's own steps."""

from dataclasses import replace

import numpy as np
from numpy.random import Generator

from reference.beyond.theory.decoupled_decay import AdamW, Moments, barrier, full_batch_jacobian, full_batch_metric
from reference.bilevel.transforms import Linear
from reference.claims.instances import data
from reference.claims.registry import DIFFERENCE, EXACT, Measured, claim
from reference.claims.routes import central_difference, differs, relative_error
from reference.problems.ridge import Ridge

MOST_ROUNDS = 1000


def run(rule: AdamW, problem: Ridge, w: np.ndarray, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    """The weights and the metric where AdamW on linear regression, its loss free of any penalty, stands still."""
    none = np.zeros(1)
    for _ in range(MOST_ROUNDS):
        before = w
        for _ in range(200):
            w, moments = rule.step(w, problem.grad_w(none, w), moments)
        if np.abs(w - before).max() <= 1e-15:
            return w, rule.metric(moments)
    raise ArithmeticError("AdamW does not come to rest: shorten α")


@claim(
    "beyond 34",
    "With a metric D = √v̂ + e that no longer moves (v held, or amsgrad's largest v) AdamW on linear regression rests "
    "where ∇L + γDw = 0: at ridge's best response with the penalty γ = s(λ) in the metric D. SGD's decay has D = I.",
    EXACT,
)
def fixed_metric(rng: Generator) -> Measured:
    problem, w, gamma = drawn(rng)
    zero, held = np.zeros_like(w), rng.uniform(0.5, 2.0, w.size) ** 2 * 100
    rule = AdamW(alpha=0.1, gamma=gamma, beta2=0.9, e=0.1, amsgrad=True)
    lam, errors, shifts = np.array([gamma]), [], []
    for largest in (held, zero):
        weights, D = run(rule, problem, w, Moments(zero, zero, largest))
        shifts.append(relative_error(weights, problem.best_response(lam)))
        errors.append(relative_error(weights, replace(problem, metric=D).best_response(lam)))
        errors += [relative_error(D, np.sqrt(held) + rule.e) if largest is held else 0.0, differs(shifts[-1])]
    errors.append(relative_error(sgd(problem, w, gamma), problem.best_response(lam)))
    return Measured(max(errors), f"SGD with the same γ rests {shifts[1]:.0%} from amsgrad's weights")


def drawn(rng: Generator) -> tuple[Ridge, np.ndarray, float]:
    """Linear regression with an undivided penalty γ itself, where AdamW starts, and γ."""
    arrays = data(rng, int(rng.integers(2, 5)))
    problem = Ridge(*arrays, divisor=1.0, s=Linear())
    return problem, rng.normal(size=problem.X.shape[-1]), float(rng.uniform(0.2, 0.8))


def sgd(problem: Ridge, w: np.ndarray, gamma: float) -> np.ndarray:
    """Where w ← w - α(∇L + γw) rests."""
    for _ in range(1000):
        w = w - 0.2 * (problem.grad_w(np.zeros(1), w) + gamma * w)
    return w


@claim(
    "beyond 34",
    "With the full batch and β_2 < 1 that metric moves with the weights: v̂ → (∇L)², so D = e/(1 - γ|w|). AdamW then "
    "minimises L + e Σ(-|w| - log(1 - γ|w|)/γ), a barrier of the box |w| < 1/γ, and dw/d log γ is ridge's in the "
    "metric D²/e, not D.",
    DIFFERENCE,
)
def full_batch(rng: Generator) -> Measured:
    problem, w, _ = drawn(rng)
    zero, none, e = np.zeros_like(w), np.zeros(1), 0.1
    bound = 0.8 * np.abs(problem.best_response(none)).max()  # a box that the least loss lies outside of
    gamma = 1 / bound

    def rest(log_gamma: np.ndarray) -> np.ndarray:
        rule = AdamW(alpha=0.02, gamma=float(np.exp(log_gamma[0])), beta2=0.9, e=e)
        return run(rule, problem, w, Moments(zero, zero, zero))[0]

    lam = np.log([gamma])
    weights = rest(lam)
    D, H, gradient = full_batch_metric(weights, gamma, e), problem.hess_ww(none, weights), problem.grad_w(none, weights)
    J = full_batch_jacobian(H, weights, gamma, e)
    in_D = gamma * replace(problem, metric=D).best_response_jacobian(np.array([gamma]))  # of log γ
    off = relative_error(in_D, J)
    errors = [
        relative_error(-gradient, gamma * D * weights),
        relative_error(-gradient, central_difference(lambda v: barrier(v, gamma, e), weights)),
        relative_error(J, central_difference(rest, lam)),
        float(np.abs(weights).max() >= bound),
        differs(off),
    ]
    return Measured(max(errors), f"the Jacobian in D, as if it were fixed, is off by {off:.0%}")
