"""Eqn. 3.14 on nn.LSTM, against PyTorch's own LSTM at explicit weights and against a plain loop over time."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, jvp

from deep import Tuner
from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.rates.sequence import DropConnectLSTM, WeightDropout
from deep.responses.linearised import dual_level
from deep.tuner.first_look import first_look
from deep.tuner.gradients import evaluate
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import InputWarning, UserError
from reference.rule.updates import CENTERED_STN
from tests.deep.strategies import (
    attach,
    batches,
    close,
    draws,
    explicit,
    half_square,
    objective,
    randomise,
    torch_seeds,
    two,
)
from tests.strategies import either, few


class Recurrent(nn.Module):
    """Linear, LSTM, Linear; with `given`, a second LSTM starts from the state that the first one ended in."""

    def __init__(self, m: int = 3, layers: int = 1, bias: bool = True, given: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(2, m)
        self.lstm = nn.LSTM(m, m + 1, layers, bias=bias, batch_first=True)
        self.second = nn.LSTM(m + 1, m + 1, layers, bias=bias, batch_first=True) if given else None
        self.last = nn.Linear(m + 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        y, state = self.lstm(self.first(x))
        end = state[0] + state[1]
        if self.second is not None:
            y, state = self.second(y, state)
            end = end + state[0] + state[1]
        return torch.cat([self.last(y), self.last(end.movedim(0, 1))], 1)


def loop(weights: dict[str, Tensor], model: Recurrent, x: Tensor) -> Tensor:
    """The same model, an LSTM as PyTorch's documentation has it, step by step."""

    def lstm(name: str, y: Tensor, h: list[Tensor], c: list[Tensor]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        rows = []
        h, c = [*h], [*c]
        for t in range(y.shape[1]):
            below = y[:, t]
            for k in range(len(h)):
                a = below @ weights[f"{name}.weight_ih_l{k}"].T + h[k] @ weights[f"{name}.weight_hh_l{k}"].T
                if model.lstm.bias:
                    a = a + weights[f"{name}.bias_ih_l{k}"] + weights[f"{name}.bias_hh_l{k}"]
                i, f, g, o = a.chunk(4, 1)
                c[k] = f.sigmoid() * c[k] + i.sigmoid() * g.tanh()
                below = h[k] = o.sigmoid() * c[k].tanh()
            rows.append(below)
        return torch.stack(rows, 1), h, c

    def linear(name: str, y: Tensor) -> Tensor:
        return y @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    zero = [x.new_zeros(len(x), model.lstm.hidden_size)] * model.lstm.num_layers
    y, h, c = lstm("lstm", linear("first", x), zero, zero)
    end = torch.stack(h) + torch.stack(c)
    if model.second is not None:
        y, h, c = lstm("second", y, h, c)
        end = end + torch.stack(h) + torch.stack(c)
    return torch.cat([linear("last", y), linear("last", end.movedim(0, 1))], 1)


def case(seed: int, n: int, T: int, layers: int, bias: bool, given: bool, alone: bool):
    """A model with responses, a plain copy, inputs, and c for each example or for the batch."""
    torch.manual_seed(seed)
    model = Recurrent(layers=layers, bias=bias, given=given)
    plain = copy.deepcopy(model).double()
    net = attach(model, seed=seed)
    return net, plain, torch.randn(n, T, 2).double(), torch.randn(1 if alone else n, 2).double()


cases = given(
    seed=torch_seeds, n=batches, T=few, layers=st.integers(1, 2), bias=either, given=either, alone=either
)  # fmt: skip


@cases
def test_a_perturbed_lstm_is_torchs_own_at_each_examples_weights(seed, n, T, layers, bias, given, alone) -> None:
    net, plain, x, c = case(seed, n, T, layers, bias, given, alone)
    weights = dict(net.model.named_parameters())
    with net.through(Pass(c, c, n)):
        actual = net.model(x)
    for i, c_i in enumerate(c.expand(n, -1)):
        delta = explicit(net, c_i)
        moved = {name: weight + delta[name] for name, weight in weights.items()}
        close(actual[i], functional_call(plain, moved, (x,))[i])
        close(actual[i], loop(moved, plain, x)[i])


@cases
def test_a_linearised_lstms_tangent_is_the_jvp_of_a_plain_loop(seed, n, T, layers, bias, given, alone) -> None:
    net, plain, x, c = case(seed, n, T, layers, bias, given, alone)
    weights = {name: weight.detach() for name, weight in net.model.named_parameters()}
    with torch.no_grad():
        actual = evaluate(net, objective(net), x, torch.zeros(()), Pass(c, c, n, "linearised"))[1]
    for i, c_i in enumerate(c.expand(n, -1)):
        delta = {name: change.detach() for name, change in explicit(net, c_i).items()}
        value, tangent = jvp(lambda w: loop(w, plain, x), (weights,), (delta,))  # type: ignore[misc]
        close(actual[i], (value + tangent)[i])


@pytest.mark.parametrize("linearised", [False, True])
@given(seed=torch_seeds, n=batches, T=few, layers=st.integers(1, 2), alone=either)
@settings(max_examples=10)
def test_the_responses_gradient_is_that_through_explicit_weights(seed, n, T, layers, alone, linearised) -> None:
    """Linearised by differentiating twice backwards: J Δw = ∂/∂u ⟨Jᵀu, Δw⟩, whose graph reaches Δw."""
    net, plain, x, c = case(seed, n, T, layers, bias=True, given=True, alone=alone)
    names, values = zip(*net.model.named_parameters(), strict=True)
    t = torch.randn(n, T + layers, 2).double()

    def outputs(*w: Tensor) -> Tensor:
        return loop(dict(zip(names, w, strict=True)), plain, x)

    rows = []
    for i, c_i in enumerate(c.expand(n, -1)):
        delta = [explicit(net, c_i)[name] for name in names]
        if linearised:
            fixed = tuple(value.detach().requires_grad_() for value in values)
            y = outputs(*fixed)
            u = torch.zeros_like(y, requires_grad=True)
            pulled = torch.autograd.grad(y, fixed, u, create_graph=True)
            inner = torch.stack([(p * d).sum() for p, d in zip(pulled, delta, strict=True)]).sum()
            rows.append((y.detach() + torch.autograd.grad(inner, u, create_graph=True)[0])[i])
        else:
            rows.append(outputs(*(value.detach() + d for value, d in zip(values, delta, strict=True)))[i])
    half = objective(net).loss
    wanted = torch.autograd.grad(half(torch.stack(rows), t), net.Theta)
    for value in values:
        value.requires_grad_(False)
    loss = evaluate(net, objective(net), x, t, Pass(c, c, n, "linearised" if linearised else "weights"))[0]
    for actual, desired in zip(torch.autograd.grad(loss, net.Theta), wanted, strict=True):
        close(actual, desired)


def test_the_gradient_in_c_is_that_through_explicit_weights() -> None:
    net, plain, x, c = case(3, n=4, T=5, layers=2, bias=True, given=True, alone=False)
    c.requires_grad_()
    weights = dict(net.model.named_parameters())
    with net.through(Pass(c, c, 4)):
        actual = net.model(x).square().sum()
    moved = [{name: weights[name] + d for name, d in explicit(net, c_i).items()} for c_i in c]
    desired = torch.stack([loop(w, plain, x)[i] for i, w in enumerate(moved)]).square().sum()
    close(torch.autograd.grad(actual, c)[0], torch.autograd.grad(desired, c)[0])


@pytest.mark.parametrize("layers", [1, 2])
def test_without_a_response_the_lstm_is_bit_for_bit_the_plain_one(layers: int) -> None:
    net, plain, x, _ = case(5, n=4, T=6, layers=layers, bias=True, given=True, alone=False)
    with torch.no_grad():
        assert torch.equal(net.model(x), plain(x))


def test_detach_leaves_the_lstm_at_the_weights_it_had() -> None:
    """Uncentred, the current weights are φ0 + Φλ."""
    net, _, x, _ = case(6, n=4, T=6, layers=2, bias=True, given=False, alone=False)
    net.hyper.centred = False
    with net.through(net.hyper.centre()):
        attached = net.model(x)
    net.detach()
    close(net.model(x), attached)


class Read(nn.Module):
    """A recurrent layer of any kind, its examples first or not, and its last state read out."""

    def __init__(self, recurrent: nn.RNNBase) -> None:
        super().__init__()
        self.recurrent = recurrent

    def forward(self, x: Tensor) -> Tensor:
        y, state = self.recurrent(x if self.recurrent.batch_first else x.transpose(0, 1))
        ends = [part.movedim(0, 1).flatten(1) for part in (state if isinstance(state, tuple) else (state,))]
        return torch.cat([(y if self.recurrent.batch_first else y.transpose(0, 1)).flatten(1), *ends], 1)


class Steps(nn.Module):
    """A cell in a loop."""

    batch_first = True

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state, outputs = None, []
        for x_t in x.unbind(1):
            state = self.cell(x_t, state)
            outputs.append(torch.cat(state, 1) if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1), outputs[-1][None]


RECURRENT = {
    "lstm cells": lambda: Steps(nn.LSTMCell(2, 3)),
    "gru cells without bias": lambda: Steps(nn.GRUCell(2, 3, bias=False)),
    "rnn cells": lambda: Steps(nn.RNNCell(2, 3)),
    "lstm in both directions": lambda: nn.LSTM(2, 3, bidirectional=True, batch_first=True),
    "lstm with projections": lambda: nn.LSTM(2, 3, 2, proj_size=2, batch_first=True),
    "lstm, steps first": lambda: nn.LSTM(2, 3),
    "gru": lambda: nn.GRU(2, 3, 2, batch_first=True),
    "gru in both directions without bias": lambda: nn.GRU(2, 3, bidirectional=True, bias=False, batch_first=True),
    "rnn": lambda: nn.RNN(2, 3, batch_first=True),
    "rnn with relu": lambda: nn.RNN(2, 3, nonlinearity="relu", batch_first=True),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_any_recurrent_layer_is_pytorchs_own_at_each_examples_weights(name: str) -> None:
    """Four examples of four steps; and the tangent is the central difference in the weights."""
    torch.manual_seed(0)
    plain = Read(RECURRENT[name]()).double()
    net, x, c = attach(copy.deepcopy(plain)), torch.randn(4, 4, 2).double(), torch.randn(4, 2).double()
    first_look(net, net.model, x, 4, ("weights", "linearised"))
    assert not net.silent
    with net.through(Pass(c, c, 4)):
        perturbed = net.model(x)
    with torch.no_grad():
        tangent = evaluate(net, objective(net), x, torch.zeros(()), Pass(c, c, 4, "linearised"))[1] - plain(x)
    weights, step = dict(net.model.named_parameters()), 1e-6
    for i, c_i in enumerate(c):
        delta = explicit(net, c_i)
        ends = [
            functional_call(plain, {n: w + k * delta[n] for n, w in weights.items()}, (x,)) for k in (1, step, -step)
        ]
        close(perturbed[i], ends[0][i])
        close(tangent[i], (ends[1] - ends[2])[i] / (2 * step), 1e-6)


def test_inputs_that_need_a_gradient_are_an_error_where_the_lstm_is_linearised() -> None:
    lstm = nn.LSTM(3, 4, batch_first=True)
    net = attach(lstm)
    lstm.requires_grad_(False)
    x, c = torch.randn(3, 2, 3).double(), torch.randn(3, 2).double()
    with net.through(Pass(c, c, 3, "linearised")), dual_level():
        lstm(x)
        with pytest.raises(UserError, match="differentiated in its inputs"):
            torch.autograd.grad(lstm(x.requires_grad_())[0].sum(), x)


def test_packed_sequences_keep_theta_0_with_an_eps_for_each_example_and_respond_with_one() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.out = nn.LSTM(2, 3, batch_first=True), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            lengths = torch.arange(x.shape[1], x.shape[1] - len(x), -1)
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            return self.out(self.lstm(packed)[1][0][-1])

    x = torch.randn(3, 5, 2)
    model = Packed()
    tuner = Tuner(model, two(), half_square)
    with pytest.warns(InputWarning, match="nothing has read"):
        tuner.inner_step(x, torch.zeros(3, 1))
    assert "lstm.weight_ih_l0" in tuner.coverage().reasons
    tuner.detach()
    tuner = Tuner(model, two(), half_square, eps_per="batch", method=CENTERED_STN)
    with pytest.warns(InputWarning, match="nothing has read"):
        tuner.inner_step(x, torch.zeros(3, 1))
    assert tuner.coverage().parameters == 1.0


# DropConnect.


def dropconnect_net(rate: float = 0.4) -> tuple[Hypernetwork, DropConnectLSTM]:
    torch.manual_seed(0)
    model = nn.ModuleDict({"drop": WeightDropout(rate)})
    model["lstm"] = lstm = DropConnectLSTM(3, 4, model["drop"])  # type: ignore[arg-type]
    hyper = Hyperparameters([Hyperparameter("drop", start=rate, high=0.95, per="batch"), *two().declared])
    net = Hypernetwork(model.double(), hyper, draws(7))
    randomise(net)
    net.hyper.lam.data = net.hyper.lam.data.double()
    return net, lstm


@pytest.mark.parametrize("linearised", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_dropconnect_masks_the_weights_and_their_response_with_one_draw(linearised: bool, state: bool) -> None:
    net, lstm = dropconnect_net()
    x, c = torch.randn(5, 6, 3).double(), torch.randn(5, 3).double()
    hx = (torch.randn(1, 5, 4).double(), torch.randn(1, 5, 4).double()) if state else None
    uniforms = torch.rand(16, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    mask = (uniforms >= 0.4).double() / 0.6
    twin = nn.LSTM(3, 4, batch_first=True).double()
    twin.load_state_dict({name: p.detach() for name, p in lstm.named_parameters()})
    twin.get_parameter("weight_hh_l0").data *= mask
    other = attach(twin, two(3))
    for (name, _, mine), (_, _, its) in zip(other, net, strict=True):
        mine.response.data = its.response * mask if name == "weight_hh_l0" else its.response.detach().clone()
        mine.U.data = its.U.detach().clone()
    lam = net.hyper.lam.detach().expand(5, -1)
    measured = []
    for item, module in ((net, lstm), (other, twin)):
        with torch.no_grad(), dual_level(), item.through(Pass(lam, c, 5, "linearised" if linearised else "weights")):
            y, (h, end) = module(x, hx)
            measured.append([torch.autograd.forward_ad.unpack_dual(part) for part in (y, h, end)])
    for actual, desired in zip(*measured, strict=True):
        close(actual.primal, desired.primal)
        assert (actual.tangent is not None) == linearised
        if linearised:
            close(actual.tangent, desired.tangent)


def test_dropconnect_without_a_response_runs_the_masked_weights() -> None:
    net, lstm = dropconnect_net()
    x = torch.randn(5, 6, 3).double()
    mask = (torch.rand(16, 4, generator=torch.Generator().manual_seed(7), dtype=torch.float64) >= 0.4).double() / 0.6
    plain = nn.LSTM(3, 4, batch_first=True).double()
    plain.load_state_dict(dict(lstm.named_parameters()))
    assert torch.equal(lstm.eval()(x)[0], plain(x)[0])
    net.model.train()
    plain.get_parameter("weight_hh_l0").data *= mask
    with net.through(net.hyper.centre(5)):
        close(lstm(x)[0], plain(x)[0])
        gradient = torch.autograd.grad(lstm(x)[0].sum(), lstm.get_parameter("weight_hh_l0"))[0]
    assert (gradient == 0).any()


def test_a_tuner_takes_an_lstm_though_only_the_tuner_was_imported() -> None:
    model = nn.LSTM(2, 3, batch_first=True)
    hyper = two()

    def loss(y: Tensor, t: Tensor) -> Tensor:
        return (y - t).square().mean() + 0 * sum(hyper[name].mean() for name in hyper.names)

    tuner = Tuner(model, hyper, loss, half_square, predict=lambda x: model(x)[0])
    x, t = torch.randn(4, 5, 2), torch.randn(4, 5, 3)
    for _ in range(2):
        tuner.inner_step(x, t)
        tuner.outer_step(x, t)
    assert any(bool(parameter.any()) for name, parameter in tuner.net.responses.named_parameters() if "U" in name)
