"""higher's unrolled training loop: differentiable SGD from the exact weights, differentiated through all its steps."""

from typing import Any

import higher  # pyright: ignore[reportMissingImports]
import torch
from numpy import ndarray
from torch import nn

from benchmarks.peers.safe_step import safe_step
from benchmarks.peers.torch_problem import torch_problem


class Weights(nn.Module):
    """A module that holds w and returns it."""

    def __init__(self, w: torch.Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())

    def forward(self) -> torch.Tensor:
        return self.w


def hypergradient(problem: Any, lam: ndarray, steps: int, lr: float | None = None) -> ndarray:
    """dL_V/dλ through `steps` steps; where no learning rate is given, the safe one."""
    view = torch_problem(problem, lam)
    lam_here = view.lam.clone().requires_grad_()
    model = Weights(view.best)
    sgd = torch.optim.SGD(model.parameters(), lr=safe_step(view) if lr is None else lr)
    with higher.innerloop_ctx(model, sgd) as (functional, optimiser):
        for _ in range(steps):
            optimiser.step(view.train(lam_here, functional()))
        (gradient,) = torch.autograd.grad(view.valid(lam_here, functional()), lam_here)
    return gradient.numpy()


def default(problem: Any, lam: ndarray) -> ndarray:
    """It has no defaults; five steps at 0.1."""
    return hypergradient(problem, lam, steps=5, lr=0.1)


def best(problem: Any, lam: ndarray) -> ndarray:
    """Two hundred steps as long as is safe."""
    return hypergradient(problem, lam, steps=200)


SETTINGS = {"SGD(lr=0.1), 5 steps": default, "SGD(lr=1/largest eigenvalue), 200 steps": best}
