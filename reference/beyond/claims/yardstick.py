"""Beyond the paper: the yardstick passes a direct solve and names the mistakes that are planted."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from reference.beyond.estimators.solvers import conjugate_gradient, neumann
from reference.beyond.yardstick.cases import case_of
from reference.beyond.yardstick.measuring import results
from reference.beyond.yardstick.predictions.solvers import ALPHAS, DAMPINGS
from reference.claims.registry import BOUND, Measured, claim

Answer = Callable[[Any, ndarray], ndarray]
YARD = ("quadratic", "direct", "ridge")


def solving(solve: Callable[[ndarray, ndarray], ndarray]) -> Answer:
    """Eqn. 2.4 with a solver of one's own."""

    def answer(problem: Any, lam: ndarray) -> ndarray:
        r = problem.best_response(lam)
        u = solve(problem.hess_ww(lam, r), problem.valid_grad_w(lam, r))
        return problem.valid_grad_lam(lam, r) - u @ problem.hess_wlam(lam, r)

    return answer


def planted(rng: Generator) -> Iterator[tuple[Answer, str]]:
    """Mistakes, and what the yardstick must say of each."""
    factor, steps, terms = round(rng.uniform(3, 9), 2), int(rng.integers(2, 5)), int(rng.integers(2, 9))
    alpha, delta = float(rng.choice(ALPHAS[4:-4])), float(rng.choice(DAMPINGS[6:-4]))
    yield lambda problem, lam: -problem.hypergradient(lam), "the sign is wrong"
    yield lambda problem, lam: factor * problem.hypergradient(lam), f"off by a constant factor: {factor:.4g}"
    yield (
        solving(lambda H, g: conjugate_gradient(lambda p: H @ p, g, steps)),
        f"conjugate gradient stopped early: after {steps} steps",
    )
    yield (
        solving(lambda H, g: neumann(lambda p: H @ p, g, terms - 1, alpha)),
        f"a truncated Neumann series, or unrolled steps from the best response: {terms} terms of step {alpha:g}",
    )
    yield (
        solving(lambda H, g: np.linalg.solve(H + delta * np.eye(len(g)), g)),
        f"the Hessian is damped: H + δI: δ = {delta:g}",
    )


@claim(
    "beyond 15",
    "The yardstick passes a direct solve, and names what is planted: a sign, a factor, conjugate gradient that stopped "
    "early and after how many steps, a Neumann series with its step and terms, a damped Hessian and by how much.",
    BOUND,
)
def named(rng: Generator) -> Measured:
    exact = results(solving(np.linalg.solve), map(case_of, YARD))
    missed = [str(result.cause) for result in exact if not result.passes]
    count = 0
    for answer, words in planted(rng):
        # Whether a series diverges depends on the problem; its step and its terms do not.
        causes = {str(result.cause).removesuffix(", which diverges") for result in results(answer, map(case_of, YARD))}
        missed += [f"{words} (but it says: {', '.join(causes)})"] * (causes != {words})
        count += 1
    detail = f"{count} mistakes on {len(YARD)} problems" + "".join(f"; missed: {words}" for words in missed)
    return Measured(float(len(missed)), detail)
