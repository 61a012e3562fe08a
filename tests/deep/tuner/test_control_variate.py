"""The control variate where `reference` has no model: other layers, one ε for each example, penalties, draws.

second routes to Σ_i ⟨g0_i, Θε_i⟩ and its gradient in Θ
one ε a batch        ⟨g0, Δw⟩ with g0 by plain autograd on a plain copy, Δw written out
one ε an example     a loop over examples, each with a g0_i of its own
any                  central differences of the perturbed pass at ±ηε, η -> 0
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from deep import Hyperparameters, Tuner, dropout_rates
from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Pass
from deep.rates.sequence import DropConnectLSTM, WeightDropout
from deep.tuner.gradients import Objective, evaluate
from deep.tuner.hypernet import Hypernetwork
from reference.beyond.control_variate.normalised import per_variance
from reference.beyond.control_variate.updates import DELTA_STN_CV, DELTA_STN_CV_NORMALISED, extended
from reference.console.command import UserError
from reference.rule.updates import CENTERED_STN, DELTA_STN, Method
from tests.deep.strategies import (
    attach,
    close,
    differential_gradient,
    explicit,
    half_square,
    outputs_at,
    reference_arrays,
    reference_response,
    response_gradient,
    torch_seeds,
)

CENTERED_STN_CV = replace(extended(CENTERED_STN), name="Centered STN with control variate", control_variate=True)
either_linear = pytest.mark.parametrize("method", [DELTA_STN_CV, CENTERED_STN_CV], ids=lambda method: method.slug)
Kind = Callable[[], tuple[nn.Module, Tensor]]


class Last(nn.Module):
    """An LSTM's outputs, flattened."""

    def __init__(self, lstm: nn.LSTM, *others: nn.Module) -> None:
        super().__init__()
        self.lstm, self.others = lstm, nn.ModuleList(others)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0].flatten(1)


class Words(nn.Module):
    """Words, looked up, averaged, and read out."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(5, 3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.tanh(self.words(x)).mean(1))


def mlp() -> tuple[nn.Module, Tensor]:
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)), _x(3)


def conv() -> tuple[nn.Module, Tensor]:
    body = [nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(8, 2)), _x(1, 4, 4)


def embedding() -> tuple[nn.Module, Tensor]:
    return Words(), torch.randint(0, 5, (4, 3))


def lstm() -> tuple[nn.Module, Tensor]:
    return Last(nn.LSTM(2, 3, num_layers=2, batch_first=True)), _x(5, 2)


def _x(*shape: int) -> Tensor:
    return torch.randn(4, *shape, dtype=torch.float64)


kinds = pytest.mark.parametrize("kind", [mlp, conv, embedding, lstm], ids=lambda kind: kind.__name__)


def case(kind: Kind, seed: int) -> tuple[Hypernetwork, nn.Module, Objective, Tensor, Tensor]:
    """A net with responses, a plain copy, a loss with a penalty and a weight for each example, inputs and targets."""
    torch.manual_seed(seed)
    model, x = kind()
    plain = copy.deepcopy(model).double()
    net = attach(model, seed=seed)
    t = torch.randn_like(plain(x))

    def loss(y: Tensor, t: Tensor) -> Tensor:
        each = (y - t).square().sum(1) * torch.exp(net.hyper["a"])
        return (each + torch.exp(net.hyper["b"]) * net.squared_norm()).mean()

    return net, plain, Objective(model, loss), x, t


def plain_loss(net: Hypernetwork, y: Tensor, t: Tensor, w: Any) -> Tensor:
    """The same loss of a plain net with weights w, at λ."""
    a, b = net.hyper.lam.detach().exp()
    return (a * (y - t).square().sum(1)).mean() + b * torch.stack([item.square().sum() for item in w]).sum()


def draw(seed: int, rows: int) -> Tensor:
    return torch.randn(rows, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def compare(measured: list[Tensor], wanted: Any, rtol: float = 1e-9) -> None:
    """Relative to the largest entry of all of them."""
    scale = max(float(item.abs().max()) for item in wanted)
    for actual, desired in zip(measured, wanted, strict=True):
        np.testing.assert_allclose(actual.detach(), desired.detach(), rtol=rtol, atol=rtol * scale)


@kinds
@given(seed=torch_seeds)
@settings(max_examples=4)
def test_with_one_eps_it_is_the_gradient_of_g0_times_delta_w(kind: Kind, seed: int) -> None:
    """And w0's gradient and its loss are those of a plain step."""
    net, plain, objective, x, t = case(kind, seed)
    z = draw(seed, 1)
    w = {name: p.detach().requires_grad_() for name, p in net.model.named_parameters()}
    loss = plain_loss(net, outputs_at(plain, w, {}, x), t, w.values())
    g0 = torch.autograd.grad(loss, list(w.values()))
    deltas = explicit(net, (net.hyper.sigma.detach() * z)[0])
    inner = torch.stack([(g * deltas[name]).sum() for name, g in zip(w, g0, strict=True)]).sum()
    measured = differential_gradient(DELTA_STN_CV, net, objective, z, x, t, len(x))
    close(measured.loss, loss)
    compare(measured.gradients[: len(g0)], g0)
    compare(measured.gradients[len(g0) :], torch.autograd.grad(inner, net.Theta))


@pytest.mark.parametrize("kind", [mlp, embedding, lstm], ids=lambda kind: kind.__name__)
@given(seed=torch_seeds)
@settings(max_examples=4)
def test_with_an_eps_for_each_example_it_is_a_sum_over_examples(kind: Kind, seed: int) -> None:
    net, plain, objective, x, t = case(kind, seed)
    z, total = draw(seed, len(x)), []
    w = {name: p.detach().requires_grad_() for name, p in net.model.named_parameters()}
    for i, z_i in enumerate(z):
        loss_i = plain_loss(net, outputs_at(plain, w, {}, x[i : i + 1]), t[i : i + 1], w.values()) / len(x)
        deltas = explicit(net, net.hyper.sigma.detach() * z_i)
        total += [(g * deltas[n]).sum() for n, g in zip(w, torch.autograd.grad(loss_i, list(w.values())), strict=True)]
    measured = differential_gradient(DELTA_STN_CV, net, objective, z, x, t, len(x))
    compare(measured.gradients[len(w) :], torch.autograd.grad(torch.stack(total).sum(), net.Theta))


@kinds
@given(seed=torch_seeds)
@settings(max_examples=3)
def test_it_is_the_derivative_of_the_perturbed_pass_towards_no_perturbation(kind: Kind, seed: int) -> None:
    """(L_T(λ, w0 + ηΘε) - L_T(λ, w0 - ηΘε)) / 2η, batch statistics of examples with weights of their own included."""
    net, _, objective, x, t = case(kind, seed)
    z, eta, lam = draw(seed, len(x)), 1e-6, net.hyper.lam.detach()[None]
    measured = differential_gradient(DELTA_STN_CV, net, objective, z, x, t, len(x))
    ends = []
    for sign in (1, -1):
        c = sign * eta * net.hyper.sigma.detach() * z
        ends.append(torch.autograd.grad(evaluate(net, objective, x, t, Pass(lam, c, len(x)))[0], net.Theta))
    compare(measured.gradients[len(net.w0) :], [(p - m) / (2 * eta) for p, m in zip(*ends, strict=True)], 1e-5)


# In a tuner: same w0, same draws.


class Dropped(nn.Module):
    """Two tuned rates, one that is not tuned, DropConnect, and normalisation: everything that draws or keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.connect, self.other = nn.Dropout(0.3), WeightDropout(0.2), nn.Dropout(0.4)
        self.first, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
        self.lstm, self.last = DropConnectLSTM(4, 3, self.connect), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.norm(self.first(self.drop(x)).mT).mT)
        return self.last(self.other(self.lstm(y)[0][:, -1]))


def tuner(method: Method = DELTA_STN_CV, sigma: float = 1.0, seed: int = 0, eps_per: str = "example") -> Tuner:
    torch.manual_seed(seed)
    model = Dropped().double()
    drop, connect, _ = dropout_rates(model)
    shift = Hyperparameter("shift", start=1.0, high=4.0)
    hyper = Hyperparameters([drop, replace(connect, per="batch"), shift], sigma)
    made = Tuner(
        model, hyper, half_square, method=method, eps_per=eps_per, seed=seed,
        augment=lambda x, draws: x + (hyper["shift"] * draws.uniform((len(x),), x))[:, None, None],
    )  # fmt: skip
    with torch.no_grad():
        for parameter in made.net.Theta:
            parameter.normal_(std=0.5)
    return made


def theta_gradient(item: Tuner) -> list[Tensor]:
    """What Θ's optimizer is given in one inner step."""
    seen: list[Tensor] = []
    item.optimisers["Theta"].register_step_pre_hook(
        lambda *_: seen.extend(p.grad for p in item.net.Theta if p.grad is not None)
    )
    x, t = batch()
    torch.manual_seed(5)
    item.inner_step(x, t)
    return seen


def batch() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(3)
    return tuple(torch.randn(6, *shape, generator=rng, dtype=torch.float64) for shape in ((4, 3), (2,)))  # type: ignore[return-value]


def norm(tensors: list[Tensor]) -> float:
    return float(torch.stack([tensor.square().sum() for tensor in tensors]).sum().sqrt())


@either_linear
@pytest.mark.parametrize("eps_per", ["batch", "example"])
def test_the_gradient_vanishes_like_sigma_squared(method: Method, eps_per: str) -> None:
    """Without the control variate like σ: the ε, the masks and what augments are the same at all σ."""
    without = replace(extended(method), control_variate=False)
    slopes = []
    for item in (method, without):
        sizes = [norm(theta_gradient(tuner(item, sigma, eps_per=eps_per))) for sigma in (1e-5, 1e-4)]
        slopes.append(np.log10(sizes[1] / sizes[0]))
    np.testing.assert_allclose(slopes, [2.0, 1.0], atol=0.05)


@either_linear
@given(seed=torch_seeds)
@settings(max_examples=3)
def test_the_mean_over_mirrored_eps_is_that_without_it(method: Method, seed: int) -> None:
    """What is subtracted is odd in ε, so of mean zero for any w0; at the same w0 and masks."""
    net, _, objective, x, t = case(mlp, seed)
    z, means = draw(seed, len(x)), []
    for item in (z, -z):
        plain = response_gradient(method, net, objective, item, x, t, len(x)).gradients
        term = differential_gradient(method, net, objective, item, x, t, len(x)).gradients[len(net.w0) :]
        means.append([torch.stack(pair) for pair in zip(plain, term, strict=True)])
    mean = [(p + m) / 2 for p, m in zip(*means, strict=True)]
    size = norm([item[1] for item in means[0]])
    assert size > 1e-3
    assert norm([item[1] for item in mean]) < 1e-12 * size


def test_normalised_divides_each_column_by_its_own_variance() -> None:
    """As `reference` does to the same gradient; what serves all columns by the mean."""
    net, *_ = case(mlp, 0)
    with torch.no_grad():
        net.hyper.raw_sigma.copy_(torch.tensor([-1.0, 2.0]))
    wanted = reference_arrays(per_variance(reference_response(net), net.hyper.sigma.detach().numpy()))
    for actual, desired in zip(net.per_variance(net.Theta), wanted, strict=True):
        close(actual, desired)


@pytest.mark.parametrize("cv", [False, True])
def test_the_optimizer_sees_the_normalised_gradient(cv: bool) -> None:
    plain, other = (replace(extended(DELTA_STN), control_variate=cv, normalised=tuned) for tuned in (False, True))
    tuned = tuner(plain, sigma=0.2)
    wanted = tuned.net.per_variance(theta_gradient(tuned))
    compare(theta_gradient(tuner(other, sigma=0.2)), wanted)


def test_w0_steps_as_in_a_plain_run_and_statistics_move_once() -> None:
    """The draws of w0's pass come after ε's, which a plain run with noise of no size draws too."""
    first, other = tuner(DELTA_STN_CV_NORMALISED), tuner()
    plain = Tuner(
        other.detach(), other.hyper, half_square, method=None, noise=True,
        augment=lambda x, draws: x + (other.hyper["shift"] * draws.uniform((len(x),), x))[:, None, None],
    )  # fmt: skip
    x, t = batch()
    torch.manual_seed(5)
    first.inner_step(x, t)
    with torch.no_grad():
        other.hyper.raw_sigma.fill_(-50.0)
    torch.manual_seed(5)
    plain.inner_step(x, t)
    for actual, desired in zip(first.net.model.state_dict().values(), plain.model.state_dict().values(), strict=True):
        close(actual, desired)
    assert first.model.norm.num_batches_tracked == 1  # type: ignore[union-attr]


# What cannot be is one line.


def test_inputs_that_are_differentiated_are_refused() -> None:
    """The differential of a Jacobian's norm would need the second derivative that is not kept."""
    net, _, _, x, t = case(mlp, 0)

    def jacobian(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(net.model(x).sum(), x, create_graph=True)[0]

    objective = Objective(jacobian, lambda y, t: y.square().sum())
    with pytest.raises(
        UserError, match=r"the operation on .* is differentiated in its inputs.*choose a method without one"
    ):
        differential_gradient(CENTERED_STN_CV, net, objective, draw(0, 4), x, t, 4)
