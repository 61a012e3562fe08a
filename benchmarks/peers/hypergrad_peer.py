"""hypergrad's approximate inverse-Hessian products at the exact weights."""

from typing import Any

import torch
from hypergrad import approx_hypergrad  # pyright: ignore[reportMissingImports]
from numpy import ndarray

from benchmarks.peers.safe_step import safe_step
from benchmarks.peers.torch_problem import torch_problem


def hypergradient(problem: Any, lam: ndarray, method: str, **options: Any) -> ndarray:
    """dL_V/dλ by one of its functions."""
    view = torch_problem(problem, lam)
    gradients = getattr(approx_hypergrad, method)(
        lambda inner, outer: view.train(outer[0], inner[0]),
        lambda inner, outer: view.valid(outer[0], inner[0]),
        (view.best,),
        (view.lam,),
        **options,
    )
    return gradients[0].numpy()


def cg(problem: Any, lam: ndarray) -> ndarray:
    """It has no defaults; five steps."""
    return hypergradient(problem, lam, "conjugate_gradient", num_iters=5, lr=1.0)


def longer(problem: Any, lam: ndarray) -> ndarray:
    """... and twenty."""
    return hypergradient(problem, lam, "conjugate_gradient", num_iters=20, lr=1.0)


def scaled(problem: Any, lam: ndarray) -> ndarray:
    """... with another `lr`."""
    return hypergradient(problem, lam, "conjugate_gradient", num_iters=20, lr=2.0)


def nystrom(problem: Any, lam: ndarray) -> ndarray:
    """Its authors' own method, at full rank."""
    return _nystrom(problem, lam, 1.0, 1e-2)


def halved(problem: Any, lam: ndarray) -> ndarray:
    """... at half the rank."""
    return _nystrom(problem, lam, 0.5, 1e-2)


def undamped(problem: Any, lam: ndarray) -> ndarray:
    """... at full rank with the least ρ that rounding leaves room for."""
    return _nystrom(problem, lam, 1.0, 1e-8)


def neumann(problem: Any, lam: ndarray) -> ndarray:
    """Two hundred terms as long as is safe."""
    return hypergradient(problem, lam, "neumann", num_iters=199, lr=safe_step(torch_problem(problem, lam)))


def _nystrom(problem: Any, lam: ndarray, share: float, rho: float) -> ndarray:
    torch.manual_seed(0)
    rank = int(share * len(problem.best_response(lam)))
    return hypergradient(problem, lam, "nystrom", rank=rank, rho=rho)


SETTINGS = {
    "conjugate_gradient(num_iters=5, lr=1)": cg,
    "conjugate_gradient(num_iters=20, lr=1)": longer,
    "conjugate_gradient(num_iters=20, lr=2)": scaled,
    "nystrom(rank=m, rho=0.01)": nystrom,
    "nystrom(rank=m/2, rho=0.01)": halved,
    "nystrom(rank=m, rho=1e-8)": undamped,
    "neumann(num_iters=199, lr=1/largest eigenvalue)": neumann,
}
