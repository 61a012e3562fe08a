"""The yardstick's problems as PyTorch sees them: L_T(λ, w) and L_V(λ, w) on tensors, and exact weights.

name        symbol    shape
lam, w      λ, w      (h,), (m,)     tensors in the precision of λ
train       L_T       ()             differentiable as often as one likes
valid       L_V       ()
best        r(λ)      (m,)           the exact best response, to start an inner solver from
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from numpy import ndarray
from torch import Tensor

from reference.beyond.yardstick.losses import losses
from reference.bilevel.problem import Problem


@dataclass(frozen=True)
class TorchProblem:
    """One problem at one λ.

    Example, the hypergradient of ridge regression by one exact solve:
        >>> from reference.beyond.yardstick.cases import case_of
        >>> case = case_of("ridge")
        >>> view = torch_problem(case.problem, case.lam)
        >>> bool(torch.isclose(view.valid(view.lam, view.best), torch.tensor(case.problem.outer_loss(case.lam))))
        True
    """

    train: Callable[[Tensor, Tensor], Tensor]
    valid: Callable[[Tensor, Tensor], Tensor]
    lam: Tensor
    best: Tensor


def torch_problem(problem: Problem, lam: ndarray) -> TorchProblem:
    """Return the view of a problem at λ, in λ's precision; its arrays are copied."""
    point = torch.tensor(lam)

    def tensor(array: ndarray) -> Tensor:
        return torch.tensor(array, dtype=point.dtype)

    train, valid = losses(problem, torch, tensor)
    return TorchProblem(train, valid, point, tensor(problem.best_response(lam)))
