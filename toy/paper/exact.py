"""Beside every kept step, the exact answer: L_V(r(λ)), regret, dr/dλ and the hypergradient of Eqn. 2.4.

name     shape    meaning
states   (K, ..)  kept steps of one replicate
columns  (K,)     of its record
"""

from typing import Any

import numpy as np
from numpy import ndarray

from reference.bilevel.optimum import Optimum
from reference.rule.hypernet import FullResponse
from reference.rule.updates import Method, State, learned_hypergradient
from toy.paper.experiments import Experiment, ToyProblem


def exact_facts(optimum: Optimum, experiment: Experiment) -> dict[str, Any]:
    """λ* and its loss, as a record and `python -m toy exact` state them."""
    return {
        "lam_star": float(optimum.lam_star[0]),
        f"{experiment.unit}_star": float(experiment.s(optimum.lam_star)[0]),
        "validation_loss_star": float(optimum.loss_star),
        "where": str(optimum.where),
    }


def exact_columns(
    problem: ToyProblem, method: Method, states: State, optimum: Optimum, experiment: Experiment
) -> dict[str, ndarray]:
    """The columns of a history, all steps at once along a leading axis."""
    assert isinstance(states.response, FullResponse)
    lam, Theta, w = states.lam, states.response.Theta, states.weights(method)
    learned = learned_hypergradient(method, states, problem)[:, 0]
    exact = problem.hypergradient(lam)[:, 0]
    return {
        "lam": lam[:, 0],
        experiment.unit: experiment.s(lam)[:, 0],
        "validation_loss": np.asarray(problem.outer_loss(lam)),
        "regret": problem.regret(lam, optimum),
        **_response_columns(problem, lam, w, Theta),
        "hypergradient": learned,
        "hypergradient_exact": exact,
        "hypergradient_error": np.abs(learned - exact),
        "hypergradient_cosine": np.sign(learned) * np.sign(exact),
        **(_weights_columns(w, Theta) if w.shape[-1] <= 2 or experiment.schedule.T_valid == 0 else {}),
    }


def _response_columns(problem: ToyProblem, lam: ndarray, w: ndarray, Theta: ndarray) -> dict[str, ndarray]:
    """Learned against exact Jacobian, in the outputs v, where the exact one is unique: J_vw Θ against dv*/dλ."""
    learned = problem.f.jvp(w, Theta[..., 0])
    exact = problem.best_output_jacobian(lam)[..., 0]
    gap, size = np.linalg.norm(learned - exact, axis=-1), np.linalg.norm(exact, axis=-1)
    # Where nothing can be learnt from the features, r(λ) = 0 for every λ and so is its Jacobian.
    error = np.divide(gap, size, out=np.where(gap > 0, np.inf, 0.0), where=size > 0)
    return {"theta_error": error, "theta_cosine": cosine(learned, exact)}


def cosine(a: ndarray, b: ndarray) -> ndarray:
    """aᵀb/‖a‖‖b‖ along the last axis; 0 where one of them is 0."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide(np.vecdot(a, b), lengths, out=np.zeros(len(a)), where=lengths > 0)


def _weights_columns(w: ndarray, Theta: ndarray) -> dict[str, ndarray]:
    """Weights and Θ themselves: where they are few enough to draw (figures 1 and 2), or λ is held and Θ the result."""
    count = w.shape[-1]
    weights = {f"w_{i + 1}": w[:, i] for i in range(count)}
    return weights | {f"theta_{i + 1}": Theta[:, i, 0] for i in range(count)}
