"""Algorithms 1 and 2 on a PyTorch model against `reference.rule.updates`, and by other routes where it has none."""

import copy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.checkpoint import checkpoint

from deep.responses.row_response import RowResponse
from deep.tuner.gradients import Objective, outer_gradients
from reference.beyond.control_variate.updates import BEYOND
from reference.beyond.problems.logistic import Logistic
from reference.bilevel.transforms import Linear
from reference.console.command import UserError
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.ridge import Ridge
from reference.rule.updates import CENTERED_STN, DELTA_STN, METHODS, Method
from tests.deep.strategies import (
    attach,
    close,
    explicit,
    half_square,
    joint_gradient,
    outputs_at,
    response_gradient,
    torch_seeds,
    w0_gradient,
)
from tests.deep.twins import (
    check_outer,
    check_step,
    dropout_twin,
    logistic_twin,
    network_twin,
    ridge_twin,
    tensors,
    with_ones,
)
from tests.strategies import Case, dropouts, linear_networks, logistics, ridges

all_methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
and_beyond = pytest.mark.parametrize("method", [*METHODS, *BEYOND], ids=lambda method: method.slug)
both_eps = pytest.mark.parametrize("eps_per", ["batch", "example"])
single = st.just(())


@and_beyond
@both_eps
@given(case=ridges(leads=single, m=st.integers(2, 4)))
@settings(max_examples=8)
def test_steps_are_those_of_the_reference_on_ridge(case: Case[Ridge], method: Method, eps_per: str) -> None:
    made = ridge_twin(with_ones(case), method, eps_per)
    check_step(made, method, masked=False, ones=True)
    check_outer(made, method, ones=True)


@and_beyond
@both_eps
@given(case=dropouts(leads=single, inverted=st.just(True)))
@settings(max_examples=8)
def test_steps_are_those_of_the_reference_on_input_dropout(
    case: Case[InputDropout], method: Method, eps_per: str
) -> None:
    made = dropout_twin(case, method, eps_per)
    check_step(made, method, masked=True, ones=False)
    check_outer(made, method, ones=False)


@and_beyond
@both_eps
@given(case=linear_networks(leads=single))
@settings(max_examples=8)
def test_steps_are_those_of_the_reference_on_linear_networks(
    case: Case[LinearNetwork], method: Method, eps_per: str
) -> None:
    made = network_twin(case, method, eps_per)
    check_step(made, method, masked=False, ones=False)
    check_outer(made, method, ones=False)


@and_beyond
@both_eps
@given(case=logistics(leads=single))
@settings(max_examples=6)
def test_steps_are_those_of_the_reference_on_softmax_regression(
    case: Case[Logistic], method: Method, eps_per: str
) -> None:
    made = logistic_twin(case, method, eps_per)
    check_step(made, method, masked=False, ones=False)
    check_outer(made, method, ones=False)


# What `reference` has no model of.


def small_network(seed: int, kind: str) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(seed)
    if kind == "mlp":
        model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(4, 3)
    else:
        body = [nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        model, x = nn.Sequential(*body, nn.Flatten(), nn.Linear(8, 2)), torch.randn(4, 1, 4, 4)
    return model.double(), x.double(), torch.randn(4, 2, dtype=torch.float64)


def stateless(model: nn.Module) -> nn.Module:
    """A plain copy that uses batch statistics and moves none."""
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    return plain


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@given(seed=torch_seeds)
@settings(max_examples=8)
def test_delta_stns_gradient_is_that_of_differentiating_twice_backwards(kind: str, seed: int) -> None:
    """J Δw = ∂/∂u ⟨J^T u, Δw⟩, with no forward-mode differentiation anywhere."""
    model, x, t = small_network(seed, kind)
    plain, net = stateless(model), attach(model)
    z = torch.randn(1, 2, dtype=torch.float64)
    w = {name: p.detach().requires_grad_() for name, p in net.model.named_parameters()}
    y = outputs_at(plain, w, {}, x)
    u = torch.zeros_like(y, requires_grad=True)
    pulled = torch.autograd.grad(y, list(w.values()), u, create_graph=True)
    deltas = explicit(net, (net.hyper.sigma.detach() * z)[0])
    inner = torch.stack([(g * deltas[name]).sum() for name, g in zip(w, pulled, strict=True)]).sum()
    (tangent,) = torch.autograd.grad(inner, u, create_graph=True)
    wanted = torch.autograd.grad(half_square(y.detach() + tangent, t), net.Theta)
    measured = response_gradient(DELTA_STN, net, Objective(model, half_square), z, x, t, len(x))
    for actual, desired in zip(measured.gradients, wanted, strict=True):
        close(actual, desired)


@all_methods
@both_eps
@given(seed=torch_seeds)
@settings(max_examples=6)
def test_outer_gradients_are_direct_plus_response(method: Method, eps_per: str, seed: int) -> None:
    """∇_λ = ∂L_V/∂λ + Θᵀ ∂L_V/∂w and ∇_σ = z ⊙ ∇_λ - τ/σ (Eqn. 2.4, 2.7), Θ and each example's weights written out."""
    model, x, t = small_network(seed, "mlp")
    net = attach(model)
    hyper, tau = net.hyper, 0.3
    hyper.centred = method.centred
    z = torch.randn(4 if eps_per == "example" else 1, 2, dtype=torch.float64)

    def valid_loss(y: Tensor, t: Tensor) -> Tensor:
        return ((y - t).square().sum(1) * torch.exp(hyper["a"])).mean()

    measured = outer_gradients(method, net, Objective(model, valid_loss), z, x, t, 4, tau)
    w, columns = dict(model.named_parameters()), torch.eye(2, dtype=torch.float64)
    Theta = [explicit(net, e) for e in columns]
    g_lam, g_sigma = torch.zeros(2).double(), -tau / hyper.sigma.detach()
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    for i, z_i in enumerate(z.expand(4, -1)):
        lam = (hyper.lam + hyper.sigma * z_i).detach().requires_grad_()
        c = (lam - hyper.lam if method.centred else lam).detach()
        moved = {n: (p + explicit(net, c)[n]).detach().requires_grad_() for n, p in w.items()}
        loss = (outputs_at(plain, moved, {}, x)[i] - t[i]).square().sum() * torch.exp(lam[0]) / 4
        direct, *g = torch.autograd.grad(loss, [lam, *moved.values()])
        response = [sum((g_n * column[n]).sum() for n, g_n in zip(moved, g, strict=True)) for column in Theta]
        g_lam = g_lam + direct + torch.stack(response)  # type: ignore[arg-type]
        g_sigma = g_sigma + z_i * (direct + torch.stack(response))  # type: ignore[arg-type]
    close(measured.gradients[0], g_lam)
    close(measured.gradients[1], g_sigma * torch.sigmoid(hyper.raw_sigma))


@all_methods
@given(seed=torch_seeds)
@settings(max_examples=5)
def test_outer_gradients_are_those_of_differences(method: Method, seed: int) -> None:
    """Eqn. 2.7 at given z as a function of λ and σ, the response's λ0 staying where it was."""
    model, x, t = small_network(seed, "mlp")
    net, step = attach(model), 1e-5
    hyper = net.hyper
    hyper.centred = method.centred
    z, lam0 = torch.randn(4, 2, dtype=torch.float64), hyper.lam.detach().clone()

    def value(lam: Tensor, raw: Tensor) -> float:
        sigma = F.softplus(raw)
        c = lam + sigma * z - (lam0 if method.centred else 0.0)
        y = torch.stack(
            [outputs_at(copy_of, dict(model.named_parameters()), explicit(net, c_i), x)[i] for i, c_i in enumerate(c)]
        )
        return (half_square(y, t) - 0.3 * sigma.log().sum()).item()

    copy_of = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    measured = outer_gradients(method, net, Objective(model, half_square), z, x, t, 4, 0.3).gradients
    raw, eye = hyper.raw_sigma.detach(), step * torch.eye(2, dtype=torch.float64)
    close(measured[0], [(value(lam0 + e, raw) - value(lam0 - e, raw)) / (2 * step) for e in eye], 1e-6)
    close(measured[1], [(value(lam0, raw + e) - value(lam0, raw - e)) / (2 * step) for e in eye], 1e-6)


@pytest.mark.parametrize("method", [CENTERED_STN, DELTA_STN], ids=lambda method: method.name)
def test_theta_converges_to_the_exact_jacobian_on_ridge(method: Method) -> None:
    """Theorem 3 with λ the penalty itself: at w0 = r(λ), Θ -> dr/dλ for any σ.

    Two copies of the data at z = 1 and -1 take the expectation exactly, for the objective is of degree three in ε.
    """
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(20, 3)), rng.normal(size=20)
    X[:, -1] = 1.0
    problem, lam = Ridge(X, t, X, t, divisor=20.0, s=Linear()), np.array([4.0])
    case = Case(problem, lam, problem.best_response(lam), (), False, rng)
    made = ridge_twin(case, method, "example")
    net, (x, target) = made.tuner.net, tensors(np.tile(X, (2, 1)), np.tile(t, 2), True)
    z = torch.ones(40, 1, dtype=torch.float64)
    z[20:] = -1.0

    with torch.no_grad():
        for name, parameter in net.responses.named_parameters():
            if name.endswith(".U"):  # as large as the responses, so that steps of one size suit both
                parameter.fill_(1.0)
    descent = SGD(net.Theta, lr=0.5)
    for _ in range(200):
        measured = response_gradient(method, net, made.tuner.training, z, x, target, 40)
        for parameter, gradient in zip(net.Theta, measured.gradients, strict=True):
            parameter.grad = gradient
        descent.step()
    close(made.state.response.apply(np.ones(1)), problem.best_response_jacobian(lam)[:, 0], 1e-9)


def test_noise_perturbs_hyperparameters_that_nothing_responds_to() -> None:
    """Table 4: L_T(λ + ε, w0), against the mean of each example's own loss."""
    model, x, t = small_network(1, "mlp")
    net = attach(model)
    z = torch.randn(4, 2, dtype=torch.float64)

    def loss(y: Tensor, t: Tensor) -> Tensor:
        return ((y - t).square().sum(1) * net.hyper["b"]).mean()

    measured = w0_gradient(net, Objective(model, loss), x, t, 4, z)
    b = (net.hyper.lam + net.hyper.sigma * z).detach()[:, 1]
    plain = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    plain.load_state_dict(model.state_dict())
    wanted = torch.autograd.grad(((plain(x) - t).square().sum(1) * b).mean(), list(plain.parameters()))
    for actual, desired in zip(measured.gradients, wanted, strict=True):
        close(actual, desired)


# No cross-talk.


def everything(net: Any) -> dict[str, list[Tensor]]:
    groups = {"w0": net.w0, "Theta": net.Theta, "lam": [net.hyper.lam], "sigma": [net.hyper.raw_sigma]}
    return groups | {"buffers": list(net.model.buffers())}


@all_methods
def test_gradients_leave_no_trace(method: Method) -> None:
    """Nothing moves but running statistics in w0's pass; no .grad, and requires_grad and modes as before."""
    model, x, t = small_network(0, "conv")
    net = attach(model)
    net.hyper.centred = method.centred
    z, loss = torch.randn(4, 2, dtype=torch.float64), Objective(model, half_square)
    calls: dict[str, Callable[[], Any]] = {
        "w0": lambda: w0_gradient(net, loss, x, t, 4),
        "Theta": lambda: response_gradient(method, net, loss, z, x, t, 4),
        "joint": lambda: joint_gradient(method, net, loss, z, x, t, 4),
        "outer": lambda: outer_gradients(method, net, loss, z, x, t, 4),
    }
    for name, call in calls.items():
        before = {group: [p.detach().clone() for p in those] for group, those in everything(net).items()}
        call()
        for group, those in everything(net).items():
            same = all(torch.equal(p, q) for p, q in zip(those, before[group], strict=True))
            assert same == (not (group == "buffers" and name in ("w0", "joint")))
            assert all(p.grad is None for p in those)
            assert all(p.requires_grad for p in those) or group == "buffers"
        assert all(module.training for module in model.modules())
        assert model[1].track_running_stats  # type: ignore[operator]


def test_the_response_is_not_in_the_graph_of_w0s_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eqn. 3.9 costs a plain step: no response is evaluated."""
    model, x, t = small_network(0, "mlp")
    net = attach(model)
    monkeypatch.setattr(RowResponse, "scales", None)
    w0_gradient(net, Objective(model, half_square), x, t, 4)


# Outputs, losses and models that cannot be treated say so.


def test_a_loss_that_is_not_one_number_is_refused() -> None:
    model, x, t = small_network(0, "mlp")
    net = attach(model)
    losses: list[tuple[Any, str]] = [
        (lambda y, t: (y - t).square().mean(1), r"of shape \(4,\)"),
        (lambda y, t: 1.0, "a float"),
    ]
    for loss, words in losses:
        with pytest.raises(UserError, match=words):
            w0_gradient(net, Objective(model, loss), x, t, 4)


@dataclass
class Wrapped:
    y: Tensor


def test_outputs_that_hide_their_tensors_are_refused_where_tangents_would_be_lost() -> None:
    model, x, t = small_network(0, "mlp")
    net = attach(model)
    z = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(UserError, match="tuples, lists and dicts"):
        response_gradient(
            DELTA_STN, net, Objective(lambda x: Wrapped(model(x)), lambda o, t: half_square(o.y, t)), z, x, t, 4
        )


class Seen(nn.Sequential):
    """Its middle activation is in its outputs, kept aside, or hidden beside them."""

    def forward(self, input: Tensor) -> Any:
        self.kept = self[1](self[0](input))
        y = self[2](self.kept)
        return y, Wrapped(self.kept), self.kept


SEEN: dict[str, Callable[[Seen, Tensor, Any], Tensor]] = {
    "kept": lambda model, x, outputs: model.kept,
    "hidden": lambda model, x, outputs: outputs[1].y,
    "called": lambda model, x, outputs: model(x)[2],
}


@pytest.mark.parametrize("how", SEEN)
def test_a_loss_that_sees_past_the_outputs_is_refused_where_tangents_would_be_lost(how: str) -> None:
    """Penalties on activations: returned, they have the gradient of differences; kept aside, they would have none."""
    torch.manual_seed(0)
    model = Seen(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net, x, t = attach(model), torch.randn(5, 3, dtype=torch.float64), torch.randn(5, 2, dtype=torch.float64)
    z = 1e-4 * torch.randn(5, 2, dtype=torch.float64)

    def objective(pick: Callable[[Any], Tensor]) -> Objective:
        return Objective(model, lambda outputs, t: half_square(outputs[0], t) + pick(outputs).square().mean())

    def gradients(method: Method, pick: Callable[[Any], Tensor]) -> list[Tensor]:
        return response_gradient(method, net, objective(pick), z, x, t, 5).gradients

    # A centred response that is not linearised sees everything; for a small ε both are alike.
    returned = gradients(DELTA_STN, lambda outputs: outputs[2])
    for measured, wanted in zip(returned, gradients(CENTERED_STN, partial(SEEN[how], model, x)), strict=True):
        close(measured, wanted, 1e-2)
    with pytest.raises(UserError, match="the loss sees the network otherwise than through its outputs"):
        gradients(DELTA_STN, partial(SEEN[how], model, x))


def test_complex_outputs_carry_their_tangents() -> None:
    """The squared modulus of a unitary transform is that of what is transformed."""
    model, x, t = small_network(0, "mlp")
    net, z = attach(model), torch.ones(1, 2, dtype=torch.float64)

    def transformed(x: Tensor) -> Tensor:
        return torch.fft.fft(model(x), norm="ortho")

    plain, other = (
        response_gradient(DELTA_STN, net, Objective(predict, loss), z, x, t, 4).gradients
        for predict, loss in (
            (model, lambda y, t: y.square().mean()),
            (transformed, lambda y, t: y.abs().square().mean()),
        )
    )
    for measured, wanted in zip(other, plain, strict=True):
        close(measured, wanted)


def test_differentiating_the_inputs_is_right_or_refused() -> None:
    """A Jacobian-norm penalty inside predict: right at perturbed weights, refused where linearised."""
    model, x, t = small_network(0, "mlp")
    plain, net = copy.deepcopy(model), attach(model)
    z = torch.randn(4, 2, dtype=torch.float64)

    def jacobian(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        y = model(x)
        return y, torch.autograd.grad(y.sum(), x, create_graph=True)[0]

    both = Objective(jacobian, lambda outputs, t: half_square(outputs[1], torch.zeros_like(x)))
    measured = response_gradient(CENTERED_STN, net, both, z, x, t, 4)
    weights = dict(model.named_parameters())
    rows = []
    for i, z_i in enumerate(z):
        x_i = x.clone().requires_grad_()
        y = outputs_at(plain, weights, explicit(net, net.hyper.sigma.detach() * z_i), x_i)
        rows.append(torch.autograd.grad(y[i].sum(), x_i, create_graph=True)[0][i])
    wanted = torch.autograd.grad(half_square(torch.stack(rows), torch.zeros_like(x)), net.Theta, allow_unused=True)
    for actual, desired in zip(measured.gradients, wanted, strict=True):
        close(actual, torch.zeros_like(actual) if desired is None else desired)
    with pytest.raises(UserError, match="linearisation cannot follow"):
        response_gradient(DELTA_STN, net, both, z, x, t, 4)


@pytest.mark.parametrize("method", [CENTERED_STN, DELTA_STN], ids=lambda method: method.name)
@pytest.mark.parametrize("rows", [1, 3])
def test_attention_has_the_gradient_of_attention_written_out(method: Method, rows: int) -> None:
    """PyTorch's fused kernels have no forward derivative; the same net in matrix products has."""

    class Attention(nn.Module):
        def __init__(self, fused: bool) -> None:
            super().__init__()
            self.qkv, self.fused = nn.Linear(4, 12), fused

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).chunk(3, -1)
            if self.fused:
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)
            masked = torch.full((x.shape[1], x.shape[1]), -torch.inf, dtype=x.dtype).triu(1)
            return (q @ k.mT / 2 + masked).softmax(-1) @ v

    torch.manual_seed(0)
    x, z = torch.randn(3, 5, 4, dtype=torch.float64), torch.randn(rows, 2, dtype=torch.float64)
    first = attach(Attention(True))
    second = attach(Attention(False))
    second.model.load_state_dict(first.model.state_dict())
    second.responses.load_state_dict(first.responses.state_dict())
    measured, wanted = (
        response_gradient(method, net, Objective(net.model, half_square), z, x, x, 3) for net in (first, second)
    )
    close(measured.loss, wanted.loss)
    for actual, desired in zip(measured.gradients, wanted.gradients, strict=True):
        close(actual, desired)


def test_a_function_without_forward_mode_is_named() -> None:
    class Distances(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cdist(self.fc(x), x)

    net, x = attach(Distances()), torch.randn(2, 3, 4, dtype=torch.float64)
    loss, z, t = Objective(net.model, half_square), torch.ones(1, 2).double(), torch.zeros(2, 3, 3).double()
    response_gradient(CENTERED_STN, net, loss, z, x, t, 2)
    with pytest.raises(UserError, match=r"_cdist_forward.*without linearisation"):
        response_gradient(DELTA_STN, net, loss, z, x, t, 2)


@pytest.mark.parametrize("activation", [nn.GLU(), nn.Hardsigmoid(), nn.Hardswish()], ids=lambda a: type(a).__name__)
def test_activations_without_a_forward_or_second_derivative_have_the_gradient_of_differences(
    activation: nn.Module,
) -> None:
    """The gradient in U of the loss at f(w0) + J Δw is linear in J, whose column is a central difference."""
    torch.manual_seed(0)
    net, x = attach(nn.Sequential(nn.Linear(4, 4), activation)), torch.randn(2, 4, dtype=torch.float64)
    z, t = torch.ones(1, 2, dtype=torch.float64), torch.zeros(2, 2 if isinstance(activation, nn.GLU) else 4).double()
    loss = response_gradient(DELTA_STN, net, Objective(net.model, half_square), z, x, t, 2).loss
    deltas = explicit(net, (net.hyper.sigma.detach() * z)[0])
    w, h = {name: p.detach() for name, p in net.model.named_parameters()}, 1e-6
    ends = [outputs_at(net.model, w, {name: k * d for name, d in deltas.items()}, x) for k in (h, -h)]
    close(loss, half_square(outputs_at(net.model, w, {}, x) + (ends[0] - ends[1]) / (2 * h), t), 1e-6)


def test_other_errors_of_a_gradient_pass() -> None:
    net, x = attach(nn.Sequential(nn.Linear(4, 4))), torch.randn(2, 4, dtype=torch.float64)
    z = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="does not require grad"):
        response_gradient(DELTA_STN, net, Objective(net.model, lambda y, t: y.detach().sum()), z, x, x, 2)


def test_a_models_own_loss_ends_the_linearisation() -> None:
    """As Hugging Face's models do: the gradient is that of the same loss outside the model."""

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            logits = self.net(x)
            return {"loss": F.cross_entropy(logits, labels), "bare": -logits.log_softmax(1)[:, 0].mean(), "y": logits}

    torch.manual_seed(0)
    net, x, labels = attach(Own()), torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    z = torch.randn(4, 2, dtype=torch.float64)
    inside = response_gradient(DELTA_STN, net, Objective(net.model, lambda o, t: o["loss"]), z, x, labels, 4)
    outside = response_gradient(
        DELTA_STN, net, Objective(net.model, lambda o, t: F.cross_entropy(o["y"], t)), z, x, labels, 4
    )
    for actual, desired in zip(inside.gradients, outside.gradients, strict=True):
        close(actual, desired)
    with pytest.raises(UserError, match="the model computes its loss out of operations through which it would be"):
        response_gradient(DELTA_STN, net, Objective(net.model, lambda o, t: o["bare"]), z, x, labels, 4)


@all_methods
def test_activation_checkpointing_is_refused(method: Method) -> None:
    """Its second forward would see λ itself and other masks, silently."""
    model, x, t = small_network(0, "mlp")
    net = attach(model)
    loss = Objective(lambda x: checkpoint(model, x, use_reentrant=False), half_square)
    with pytest.raises(UserError, match="checkpointing"):
        joint_gradient(method, net, loss, torch.ones(1, 2, dtype=torch.float64), x, t, 4)


def test_the_first_linearised_step_hides_torchs_warning_of_its_own_code() -> None:
    step = """
import torch
from deep import Hyperparameters, Tuner, dropout_rates
model, t = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(2, 1)), torch.ones(3, 1)
Tuner(model, Hyperparameters(dropout_rates(model)), torch.nn.functional.mse_loss).inner_step(torch.ones(3, 2), t)
"""
    done = subprocess.run([sys.executable, "-W", "error:`torch.jit", "-c", step], capture_output=True, text=True)
    assert not done.returncode, done.stderr
