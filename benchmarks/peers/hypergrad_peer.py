"""hypergrad's approximate inverse-Hessian products at the exact weights."""

from typing import Any

import torch
from hypergrad import approx_hypergrad  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from deep.yardstick import torch_problem


def hypergradient(problem: Any, lam: ndarray, method: str, **options: Any) -> ndarray:
    """dL_V/dλ by one of its functions."""
    view = torch_problem(problem, lam)
    found = getattr(approx_hypergrad, method)(
        lambda inner, outer: view.train(outer[0], inner[0]),
        lambda inner, outer: view.valid(outer[0], inner[0]),
        (view.best,),
        (view.lam,),
        **options,
    )
    return found[0].numpy()


def cg(problem: Any, lam: ndarray) -> ndarray:
    return hypergradient(problem, lam, "conjugate_gradient", num_iters=5, lr=1.0)


def longer(problem: Any, lam: ndarray) -> ndarray:
    return hypergradient(problem, lam, "conjugate_gradient", num_iters=20, lr=1.0)


def nystrom(problem: Any, lam: ndarray) -> ndarray:
    """Its authors' own method, at full rank."""
    torch.manual_seed(0)
    return hypergradient(problem, lam, "nystrom", rank=len(problem.best_response(lam)), rho=0.01)


SETTINGS = {
    "conjugate_gradient(num_iters=5, lr=1)": cg,
    "conjugate_gradient(num_iters=20, lr=1)": longer,
    "nystrom(rank=m, rho=0.01)": nystrom,
}
