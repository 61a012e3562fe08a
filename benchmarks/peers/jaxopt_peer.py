"""JAXopt's implicit differentiation: the optimality condition ∂L_T/∂w = 0 and a linear solver; exact weights."""

from functools import partial
from typing import Any

import jax  # pyright: ignore[reportMissingImports]
import numpy as np
from jaxopt import implicit_diff, linear_solve  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from benchmarks.peers.jax_view import jax_problem


def hypergradient(problem: Any, lam: ndarray, **options: Any) -> ndarray:
    """dL_V/dλ through `custom_root`."""
    train, valid, lam_here, best_response = jax_problem(problem, lam)

    @implicit_diff.custom_root(lambda w, lam: jax.grad(train, argnums=1)(lam, w), **options)
    def solver(w: Any, lam: Any) -> Any:
        return best_response

    return np.asarray(jax.grad(lambda lam: valid(lam, solver(best_response, lam)))(lam_here))


def default(problem: Any, lam: ndarray) -> ndarray:
    """No linear solver named: `solve_normal_cg` as it comes, stopping at a relative residual of 1e-5."""
    return hypergradient(problem, lam)


def best(problem: Any, lam: ndarray) -> ndarray:
    """`solve_cg`, which its documentation gives for symmetric positive definite systems, to a residual of 1e-12."""
    return hypergradient(problem, lam, solve=partial(linear_solve.solve_cg, tol=1e-12, maxiter=2000))


SETTINGS = {"default: solve_normal_cg": default, "solve_cg(tol=1e-12, maxiter=2000)": best}
