"""Algorithms 1 and 2 on a PyTorch model against `reference.updates`, and against other routes where it has no model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray
from scipy.special import expit
from torch import Tensor, nn
from torch.optim import SGD

from deep.hyperparameters import Hyperparameter, Hyperparameters
from deep.tuner import Tuner
from reference.dropout import InputDropout
from reference.linear_network import LinearNetwork
from reference.objective import TrainingObjective
from reference.regression import Regression
from reference.ridge import Ridge
from reference.updates import (
    METHODS,
    Method,
    State,
    inner_step,
    outer_gradients,
    perturbed_gradient,
    response_input,
)
from tests.deep.strategies import (
    close,
    flat,
    half_square,
    randomise,
    reference_arrays,
    reference_response,
)
from tests.strategies import Case, dropouts, linear_networks, ridges

ALPHA = 0.05
all_methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
both_eps = pytest.mark.parametrize("eps_per", ["batch", "example"])
single = st.just(())


# The same problem on both sides.


@dataclass
class Twin:
    """A problem of `reference` and a tuner that stands at the same (λ, σ, w0, Θ)."""

    problem: Any
    tuner: Tuner
    generator: torch.Generator

    @property
    def state(self) -> State:
        hyper, net = self.tuner.hyper, self.tuner.net
        lam, sigma = (one.detach().clone().numpy() for one in (hyper.lam, hyper.sigma))
        return State(lam, sigma, flat(net.w0), reference_response(net))

    def eps(self, n: int) -> ndarray:
        """The ε that the tuner is about to draw, one for each example."""
        z = torch.randn(n, 1, generator=self.generator, dtype=torch.float64)
        z = z if self.tuner.eps_per == "example" else z[:1]
        return np.asarray(z) * self.state.sigma

    def uniforms(self, *shape: int) -> ndarray:
        return np.asarray(torch.rand(*shape, generator=self.generator, dtype=torch.float64))


def twin(
    problem: Any, lam: ndarray, w: ndarray, model: nn.Module, method: Method, eps_per: str, **options: Any
) -> Twin:
    """Models whose parameters in order are the flat vector w."""
    model = model.double()
    with torch.no_grad():
        nn.utils.vector_to_parameters(torch.tensor(w), model.parameters())
    step = partial(SGD, lr=ALPHA)
    hyper, train_loss = options.pop("hyper"), options.pop("train_loss")
    tuner = Tuner(
        model, hyper, train_loss, half_square, method=method, eps_per=eps_per, w0=step, Theta=step,
        lam=step, sigma=step, tau=0.3, seed=7, **options,
    )  # fmt: skip
    randomise(tuner.net)
    with torch.no_grad():
        tuner.hyper.lam.copy_(torch.tensor(lam))
        tuner.hyper.raw_sigma.fill_(0.2)
    return Twin(problem, tuner, torch.Generator().manual_seed(7))


def penalised(problem: Ridge, norm: Callable[[Any], Tensor], hyper: Hyperparameters) -> Callable[[Any, Any], Tensor]:
    def loss(outputs: Any, t: Tensor) -> Tensor:
        y = outputs[0] if isinstance(outputs, tuple) else outputs
        return half_square(y, t) + (hyper["penalty"] * norm(outputs)).mean() / (2 * problem.divisor)

    return loss


def ridge_twin(case: Case[Ridge], method: Method, eps_per: str) -> Twin:
    """A layer with a bias is ridge with a column of ones."""
    problem, m = case.problem, case.problem.X.shape[-1] - 1
    low = 0.0 if problem.s.low == 0 else -np.inf
    hyper = Hyperparameters([Hyperparameter("penalty", start=0.5, low=low)])
    holder: list[Tuner] = []
    loss = penalised(problem, lambda _: holder[0].squared_norm(), hyper)
    made = twin(problem, case.lam, case.w, nn.Linear(m, 1), method, eps_per, hyper=hyper, train_loss=loss)
    holder.append(made.tuner)
    return made


def with_ones(case: Case[Ridge]) -> Case[Ridge]:
    X, X_valid = case.problem.X.copy(), case.problem.X_valid.copy()
    X[:, -1] = X_valid[:, -1] = 1.0
    return replace(case, problem=replace(case.problem, X=X, X_valid=X_valid))


def network_twin(case: Case[LinearNetwork], method: Method, eps_per: str) -> Twin:
    """Outputs are predictions and the Jacobian ∂y/∂x = W_{d+1}···W_1, seen by each example at its own weights."""
    problem, m = case.problem, case.problem.X.shape[-1]
    layers = [nn.Linear(m, m, bias=False) for _ in range(problem.depth)]
    model = nn.Sequential(*layers, nn.Linear(m, 1, bias=False))
    hyper = Hyperparameters([Hyperparameter("penalty", start=0.5)])
    loss = penalised(problem, lambda outputs: outputs[1].square().sum((1, 2)), hyper)

    def predict(x: Tensor) -> tuple[Tensor, Tensor]:
        return model(x), model(torch.eye(m).to(x).expand(len(x), m, m))

    def first(outputs: Any, t: Tensor) -> Tensor:
        return half_square(outputs[0], t)

    made = twin(problem, case.lam, case.w, model, method, eps_per, hyper=hyper, train_loss=loss, predict=predict)
    made.tuner.validation = replace(made.tuner.validation, loss=first)
    return made


def dropout_twin(case: Case[InputDropout], method: Method, eps_per: str) -> Twin:
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(case.problem.X.shape[-1], 1, bias=False))
    hyper = Hyperparameters([Hyperparameter("0", start=0.5, high=1.0)])
    return twin(case.problem, case.lam, case.w, model, method, eps_per, hyper=hyper, train_loss=half_square)


def tensors(X: ndarray, t: ndarray, drop_ones: bool) -> tuple[Tensor, Tensor]:
    return torch.tensor(X[:, :-1] if drop_ones else X), torch.tensor(t)[:, None]


# One inner step of `reference`, with an ε of its own for each example.


def rows_of(train: TrainingObjective, n: int) -> list[TrainingObjective]:
    """The objective of each row by itself; their mean is the batch's."""
    if isinstance(train, Regression):
        return [train.rows(np.array([i])) for i in range(n)]
    parts = ("X", "t", "uniforms")
    return [replace(train, **{p: getattr(train, p)[i : i + 1] for p in parts}) for i in range(n)]  # type: ignore[type-var]


def averaged_step(method: Method, state: State, eps: ndarray, train: Any, train_perturbed: Any) -> State:
    """`reference.updates.inner_step` with the mean of gradients at each row's own ε."""
    n = len(eps)
    if method.unperturbed:
        state = replace(state, w0=state.w0 - ALPHA * train.grad_w(state.lam, state.w0))
    response, w0 = state.response, state.w0
    for eps_i, train_i in zip(eps, rows_of(train_perturbed, n), strict=True):
        c = response_input(method, state.lam, eps_i)
        g = perturbed_gradient(method, train_i, state.lam + eps_i, state.w0, state.response.apply(c))
        response = response.minus(ALPHA / n, state.response.gradient(c, g))
        w0 = w0 if method.unperturbed else w0 - ALPHA / n * g
    return replace(state, w0=w0, response=response)


def check_step(made: Twin, method: Method, masked: bool, ones: bool) -> None:
    problem, state = made.problem, made.state
    n = problem.n
    draw = (lambda: problem.masked(np.arange(n), made.uniforms(*problem.X.shape))) if masked else (lambda: problem)
    train = draw() if method.unperturbed else None
    eps, train_perturbed = made.eps(n), draw()
    if len(eps) == 1:
        wanted = inner_step(method, state, eps[0], train or train_perturbed, train_perturbed, ALPHA)
    else:
        wanted = averaged_step(method, state, eps, train, train_perturbed)
    made.tuner.inner_step(*tensors(problem.X, problem.t, ones))
    close(flat(made.tuner.net.w0), wanted.w0)
    close(made.state.lam, state.lam, 0.0)
    for actual, desired in zip(made.tuner.net.Theta, reference_arrays(wanted.response), strict=True):
        close(actual, desired)


def check_outer(made: Twin, method: Method, ones: bool) -> None:
    """λ and σ step by `outer_gradients`; raw_sigma through dσ/draw = sigmoid(raw)."""
    problem, state = made.problem, made.state
    n = len(problem.X_valid)
    eps = made.eps(n)
    one_row = [replace(problem, X_valid=problem.X_valid[[i]], t_valid=problem.t_valid[[i]]) for i in range(n)]
    objectives = one_row if len(eps) == n else [problem]
    found = [outer_gradients(method, state, e, row, tau=0.3) for e, row in zip(eps, objectives, strict=True)]
    g_lam, g_sigma = (np.mean(part, axis=0) for part in zip(*found, strict=True))
    raw = made.tuner.hyper.raw_sigma.detach().clone().numpy()
    made.tuner.outer_step(*tensors(problem.X_valid, problem.t_valid, ones))
    close(made.tuner.hyper.lam, state.lam - ALPHA * g_lam)
    close(made.tuner.hyper.raw_sigma, raw - ALPHA * g_sigma * expit(raw))
    close(flat(made.tuner.net.w0), state.w0, 0.0)


@all_methods
@both_eps
@given(case=ridges(leads=single, m=st.integers(2, 4)))
@settings(max_examples=12)
def test_steps_are_those_of_the_reference_on_ridge(case: Case[Ridge], method: Method, eps_per: str) -> None:
    made = ridge_twin(with_ones(case), method, eps_per)
    check_step(made, method, masked=False, ones=True)
    check_outer(made, method, ones=True)


@all_methods
@both_eps
@given(case=dropouts(leads=single, inverted=st.just(True)))
@settings(max_examples=12)
def test_steps_are_those_of_the_reference_on_input_dropout(
    case: Case[InputDropout], method: Method, eps_per: str
) -> None:
    made = dropout_twin(case, method, eps_per)
    check_step(made, method, masked=True, ones=False)
    check_outer(made, method, ones=False)


@all_methods
@both_eps
@given(case=linear_networks(leads=single))
@settings(max_examples=12)
def test_steps_are_those_of_the_reference_on_linear_networks(
    case: Case[LinearNetwork], method: Method, eps_per: str
) -> None:
    made = network_twin(case, method, eps_per)
    check_step(made, method, masked=False, ones=False)
    check_outer(made, method, ones=False)
