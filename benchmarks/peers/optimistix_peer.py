"""Optimistix's `minimise`, started from the exact weights, with its implicit adjoint."""

from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import lineax  # pyright: ignore[reportMissingImports]
import numpy as np
import optimistix  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from benchmarks.peers.jax_view import jax_problem


def hypergradient(problem: Any, lam: ndarray, **options: Any) -> ndarray:
    """dL_V/dλ through `minimise`; `throw=False`, since in single precision BFGS may not reach its tolerance."""
    train, valid, lam_here, best_response = jax_problem(problem, lam)
    solver = optimistix.BFGS(rtol=1e-8, atol=1e-8)

    def outer(lam: Any) -> Any:
        solution = optimistix.minimise(
            lambda w, lam: train(lam, w), solver, best_response, args=lam, throw=False, **options
        )
        return valid(lam, solution.value)

    return np.asarray(jax.grad(outer)(lam_here))


def default(problem: Any, lam: ndarray) -> ndarray:
    """The adjoint as it comes."""
    return hypergradient(problem, lam)


def best(problem: Any, lam: ndarray) -> ndarray:
    """The linear solver that its documentation gives for systems that may be singular."""
    adjoint = optimistix.ImplicitAdjoint(linear_solver=lineax.AutoLinearSolver(well_posed=False))
    return hypergradient(problem, lam, adjoint=adjoint)


SETTINGS = {"default: BFGS(1e-8, 1e-8), ImplicitAdjoint()": default, "AutoLinearSolver(well_posed=False)": best}
