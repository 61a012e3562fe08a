"""Beside every kept step, the exact answer for any number of hyperparameters: L_V(r(λ)), dr/dλ, dL_V/dλ.

name                  symbol                        shape
states                -                             (K, ..) kept steps of one replicate
lam_1, ...            λ                             (K,) each
validation_loss       L_V(r(λ))                     (K,)
excess                L_V(r(λ)) - L_V(r(λ*))        (K,)
weights_error         ‖w - r(λ)‖ / ‖r(λ)‖           (K,)    w: the learned weights
weights_loss          L_V(w)                        (K,)
theta_error           ‖Θ - dr/dλ‖ / ‖dr/dλ‖         (K,)
hypergradient_error   ‖ĝ - g‖ / ‖g‖                 (K,)    ĝ: Eqn. 2.4 with the learned Θ and weights, at ε = 0
hypergradient_cosine  ĝᵀg / ‖ĝ‖‖g‖                  (K,)

The excess is a difference, not a ratio as for regression: where every validation row is told apart L_V(r(λ*)) is next
to nothing. With several hyperparameters λ* is the best that `Logistic.optimum` finds in its box.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy import ndarray

from reference.beyond.problems.logistic import Logistic
from reference.bilevel.optimum import Optimum
from reference.rule.hypernet import FullResponse
from reference.rule.updates import Method, State, learned_hypergradient
from toy.beyond.logistic.labels import load, problem
from toy.paper.exact import cosine


@cache
def optimum(name: str, seed: int, h: int) -> Optimum:
    """λ* of a set by name: for all methods one search, which takes seconds."""
    return problem(load(name), seed, h).optimum()


def facts(best: Optimum) -> dict[str, Any]:
    """λ* and its loss, as a record states them."""
    return {
        "lam_star": best.lam_star.tolist(),
        "validation_loss_star": float(best.loss_star),
        "where": str(best.where),
    }


def columns(problem: Logistic, method: Method, states: State, best: Optimum) -> dict[str, ndarray]:
    """The columns of a history, all steps at once along a leading axis, from one best response for each.

    Raises:
        ValueError: one of the λ has no best response that could be computed.
    """
    assert isinstance(states.response, FullResponse)
    lam, Theta = states.lam, states.response.Theta
    r = problem.best_response(lam)
    exact = problem.jacobian_at(lam, r)
    g = np.vecmat(problem.valid_grad_w(lam, r), exact)
    w, learned = states.weights(method), learned_hypergradient(method, states, problem)
    loss = np.asarray(problem.valid_loss(lam, r))
    return {
        **{f"lam_{i + 1}": lam[:, i] for i in range(problem.h)},
        "validation_loss": loss,
        "excess": loss - best.loss_star,
        "weights_error": np.linalg.norm(w - r, axis=1) / np.linalg.norm(r, axis=1),
        "weights_loss": np.asarray(problem.valid_loss(lam, w)),
        "theta_error": np.linalg.norm(Theta - exact, axis=(1, 2)) / np.linalg.norm(exact, axis=(1, 2)),
        "hypergradient_error": np.linalg.norm(learned - g, axis=1) / np.linalg.norm(g, axis=1),
        "hypergradient_cosine": cosine(learned, g),
    }
