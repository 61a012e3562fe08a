"""Section 3.3: the linearised network (Eqns. 3.11 to 3.13)."""

import numpy as np
from numpy.random import Generator

from reference.bilevel.networks import Network
from reference.bilevel.objective import Scalars, TrainingObjective
from reference.bilevel.problem import Problem
from reference.claims import instances
from reference.claims.instances import Setting
from reference.claims.registry import DIFFERENCE, EXACT, SLOPE, claim
from reference.claims.routes import central_difference, order, relative_error
from reference.rule.hypernet import FullResponse, centred_weights
from reference.rule.updates import CENTERED_STN, DELTA_STN, inner_step, perturbed_gradient


@claim("3.11", "f(w) - f(w0) - J_yw(w - w0) is of second order, for a linear and for a saturating network.", SLOPE)
def eqn_3_11(rng: Generator) -> float:
    linear, _, w0 = instances.network(rng)
    saturating, _ = instances.saturating(rng)

    def miss(f: Network, point: np.ndarray) -> float:
        moves = rng.normal(size=(5, point.size))
        return abs(order(lambda t: f(point + t * moves) - f(point) - f.jvp(point, t * moves)) - 2)

    return max(miss(linear.f, w0), miss(saturating.f, rng.normal(size=saturating.c.shape)))


@claim(
    "3.11",
    "It is exact where the outputs are linear in the weights that move: with one layer of a linear network responding, "
    "Δ-STN's outputs and its gradient in that layer are Centered STN's.",
    EXACT,
)
def eqn_3_11_linear(rng: Generator) -> float:
    problem, lam, w0 = instances.network(rng)
    errors = []
    for layer in ([0, 1, 2, 3], [4, 5, 6, 7], [8, 9]):
        dw, eps = np.zeros(w0.size), rng.normal(size=1)
        dw[layer] = rng.normal(size=len(layer))
        errors.append(relative_error(problem.f(w0) + problem.f.jvp(w0, dw), problem.f(w0 + dw), w0))
        linearised, full = (
            perturbed_gradient(method, problem, lam + eps, w0, dw)[layer] for method in (DELTA_STN, CENTERED_STN)
        )
        errors.append(relative_error(linearised, full, problem.grad_w(lam, w0)))
    return max(errors)


class Watched(TrainingObjective):
    """A problem's training loss that keeps the λ and the outputs at which its gradient was last asked for."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.f = problem, problem.f
        self.lam = self.v = np.zeros(0)

    def train_loss_v(self, lam: np.ndarray, v: np.ndarray) -> Scalars:
        return self.problem.train_loss_v(lam, v)

    def train_grad_v(self, lam: np.ndarray, v: np.ndarray) -> np.ndarray:
        self.lam, self.v = lam, v
        return self.problem.train_grad_v(lam, v)


@claim(
    "3.12, 3.13",
    "In Δ-STN's step on Θ the loss sees λ0 + ε and the outputs f(w0) + J_yw Θε, w0 after its own step: r_θ(λ0, λ0) "
    "= w0 and Δw = Θε.",
    DIFFERENCE,
)
def eqns_3_12_and_3_13(rng: Generator) -> float:
    problem, lam, w0 = instances.network(rng)
    point, eps = Setting(lam, np.ones(1), w0, rng.normal(size=(w0.size, 1))), rng.normal(size=1)
    w0, seen = step_on_Theta(problem, point, eps)
    v = problem.f(centred_weights(point.Theta, w0, lam, lam)) + central_difference(problem.f, w0) @ point.Theta @ eps
    return max(relative_error(seen.v, v), relative_error(seen.lam, lam + eps))


@claim("3.12", "The outputs that Δ-STN's step on Θ sees are those of r_θ(λ0+ε, λ0), to second order in ε.", SLOPE)
def eqn_3_12(rng: Generator) -> float:
    problem, lam, w0 = instances.network(rng)
    # Several, since along one of them the term of second order may all but vanish.
    settings = [Setting(lam, np.ones(1), w0, Theta) for Theta in rng.normal(size=(5, w0.size, 1))]

    def remainder(point: Setting, eps: np.ndarray) -> np.ndarray:
        w0, seen = step_on_Theta(problem, point, eps)
        return problem.f(centred_weights(point.Theta, w0, lam + eps, lam)) - seen.v

    return abs(order(lambda t: np.array([remainder(point, np.full(1, t)) for point in settings])) - 2)


def step_on_Theta(problem: Problem, point: Setting, eps: np.ndarray) -> tuple[np.ndarray, Watched]:
    """An inner step of Δ-STN: w0 after it, and what the loss saw in the step on Θ."""
    seen = Watched(problem)
    return inner_step(DELTA_STN, point.state, eps, problem, seen, alpha1=0.01).w0, seen


@claim(
    "3.13",
    "Δ-STN's gradient is that of L_T(λ0+ε, f(w0) + J_yw Θε) in Θ: the loss is not linearised, the outputs are.",
    DIFFERENCE,
)
def eqn_3_13(rng: Generator) -> float:
    problem, lam, w0 = instances.network(rng)
    Theta, eps = rng.normal(size=(w0.size, 1)), rng.normal(size=1)
    y, J = problem.f(w0), central_difference(problem.f, w0)
    desired = central_difference(lambda T: problem.train_loss_v(lam + eps, y + J @ T @ eps), Theta)
    g = perturbed_gradient(DELTA_STN, problem, lam + eps, w0, Theta @ eps)
    return relative_error(FullResponse(Theta).gradient(eps, g).Theta, desired)
