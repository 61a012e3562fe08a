"""PyTorch's derivatives of the yardstick's losses are the reference's formulas, and its hypergradient passes."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy import ndarray
from numpy.testing import assert_allclose
from torch.func import grad, hessian, jacrev

from benchmarks.peers.torch_problem import torch_problem
from reference.beyond.yardstick import measure
from reference.beyond.yardstick.cases import BUILDERS, case_of

DOUBLE = [name for name in BUILDERS if name != "float32"]


def close(actual: torch.Tensor, desired: ndarray) -> None:
    """To nine digits of the largest entry."""
    assert_allclose(actual.numpy(), desired, rtol=1e-9, atol=1e-9 * np.abs(desired).max(initial=1e-6))


@pytest.mark.parametrize("name", DOUBLE)
def test_every_derivative_is_the_references(name: str):
    case = case_of(name)
    problem, lam = case.problem, case.lam
    view = torch_problem(problem, lam)
    w = problem.best_response(lam) + 0.1 * np.random.default_rng(0).normal(size=len(view.best))
    point = torch.tensor(w)
    close(view.train(view.lam, point), np.asarray(problem.train_loss(lam, w)))
    close(view.valid(view.lam, point), np.asarray(problem.valid_loss(lam, w)))
    close(grad(view.train, 1)(view.lam, point), problem.grad_w(lam, w))
    close(grad(view.valid, 1)(view.lam, point), problem.valid_grad_w(lam, w))
    close(grad(view.valid, 0)(view.lam, point), problem.valid_grad_lam(lam, w))
    close(hessian(view.train, 1)(view.lam, point), problem.hess_ww(lam, w))
    close(jacrev(grad(view.train, 1), 0)(view.lam, point), problem.hess_wlam(lam, w))


def test_the_best_response_is_at_rest_in_the_precision_of_the_data():
    for name in BUILDERS:
        case = case_of(name)
        view = torch_problem(case.problem, case.lam)
        assert view.lam.dtype == view.best.dtype == getattr(torch, str(case.lam.dtype))
        assert view.train(view.lam, view.best).dtype == view.lam.dtype
        slope = grad(view.train, 1)(view.lam, view.best)
        curvature = hessian(view.train, 1)(view.lam, view.best)
        unit = torch.finfo(view.lam.dtype).eps
        assert slope.norm() <= 100 * unit * torch.linalg.matrix_norm(curvature, 2) * max(view.best.norm(), 1.0)


def test_autograd_and_a_least_squares_solver_pass_the_yardstick():
    def function(problem: Any, lam: ndarray) -> torch.Tensor:
        view = torch_problem(problem, lam)
        H, B = hessian(view.train, 1)(view.lam, view.best), jacrev(grad(view.train, 1), 0)(view.lam, view.best)
        # pinv, since the linear network's Hessian is singular; its cut-off is the precision of the data.
        rtol = 100 * torch.finfo(view.lam.dtype).eps
        u = torch.linalg.pinv(H, hermitian=True, rtol=rtol) @ grad(view.valid, 1)(view.lam, view.best)
        return grad(view.valid, 0)(view.lam, view.best) - u @ B

    report = measure(function)
    assert report.passes, report.text()
