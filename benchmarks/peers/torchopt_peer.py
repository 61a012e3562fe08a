"""TorchOpt's implicit differentiation: the optimality condition ∂L_T/∂w = 0 and a linear solver; exact weights."""

from typing import Any

import torch
import torchopt  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from benchmarks.peers.torch_problem import torch_problem


def hypergradient(problem: Any, lam: ndarray, **options: Any) -> ndarray:
    """dL_V/dλ through `custom_root`."""
    view = torch_problem(problem, lam)
    optimality = torch.func.grad(view.train, argnums=1)

    @torchopt.diff.implicit.custom_root(lambda w, lam: optimality(lam, w), argnums=1, **options)
    def solver(w: torch.Tensor, lam: torch.Tensor) -> torch.Tensor:
        return view.best.clone()

    lam_here = view.lam.clone().requires_grad_()
    view.valid(lam_here, solver(view.best.clone(), lam_here)).backward()
    assert lam_here.grad is not None
    return lam_here.grad.numpy()


def default(problem: Any, lam: ndarray) -> ndarray:
    """No linear solver named: `solve_normal_cg` as it comes, stopping at a relative residual of 1e-5."""
    return hypergradient(problem, lam)


def best(problem: Any, lam: ndarray) -> ndarray:
    """`solve_cg`, which its documentation gives for symmetric positive definite systems, to a residual of 1e-12."""
    return hypergradient(problem, lam, solve=torchopt.linear_solve.solve_cg(rtol=1e-12, maxiter=2000))


SETTINGS = {"default: solve_normal_cg()": default, "solve_cg(rtol=1e-12, maxiter=2000)": best}
