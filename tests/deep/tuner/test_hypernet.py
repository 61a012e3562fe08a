"""Attaching and detaching: the model stays what it is, and what cannot be treated is one line."""

import copy
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from deep.tuner.contexts import evaluating, frozen, frozen_statistics
from deep.rates.find import dropout_rates
from deep.tuner.hypernet import Hypernetwork
from deep.hyper.hyperparameters import Hyperparameters, Pass
from reference.command import UserError
from tests.deep.strategies import attach, close, draws, explicit, two


def network() -> nn.Sequential:
    body = [nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Dropout(0.3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(8, 2)).double()


def x() -> Tensor:
    return torch.randn(4, 1, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("centred", [True, False])
def test_attaching_changes_neither_keys_nor_outputs_and_detaching_leaves_the_current_weights(centred: bool) -> None:
    """Eqn. 2.6's current weights are Φλ + φ0, which detaching folds into the model."""
    model = network()
    before, y = copy.deepcopy(model.state_dict()), copy.deepcopy(model).eval()(x())
    hyper = Hyperparameters([*dropout_rates(model), *two().declared])
    hyper.centred = centred
    net = Hypernetwork(model, hyper, draws())
    assert list(model.state_dict()) == list(before)
    assert all(type(module) in (nn.Sequential, *map(type, model)) for module in model.modules())
    close(model.eval()(x()), y)
    with torch.no_grad():
        for parameter in net.Theta:
            parameter.normal_(std=0.3)
    attached = model(x())
    plain = net.detach()
    assert plain is model
    assert not any("forward" in vars(module) for module in model.modules())
    close(model(x()), attached)
    same = all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert same == centred
    Hypernetwork(model, hyper, draws())


def test_a_copy_of_an_attached_model_is_apart_from_it() -> None:
    net = attach(network(), two())
    twin = copy.deepcopy(net.model)
    y = twin.eval()(x())
    with torch.no_grad():
        for parameter in net.w0:
            parameter.add_(1.0)
    close(twin(x()), y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_response_follows_the_model(dtype: torch.dtype) -> None:
    net = attach(network(), two())
    net.model.to(dtype)
    net.follow()
    assert {p.dtype for p in (*net.Theta, net.hyper.lam, net.hyper.raw_sigma)} == {dtype}
    with net.through(Pass(net.hyper.lam.detach()[None], torch.ones(1, 2, dtype=dtype), 4)):
        assert net.model(x().to(dtype)).dtype == dtype


def test_each_response_follows_its_own_layer_and_lam_keeps_float32() -> None:
    """A model in lower precision keeps some layers, as its norms, in float32."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net = attach(model, two())
    model[0].bfloat16()
    model[1].float()
    net.follow()
    first, second = net
    assert {p.dtype for p in first.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in (*second.parameters(), net.hyper.lam, net.hyper.raw_sigma)} == {torch.float32}


def test_squared_norm_is_of_all_weights_that_train() -> None:
    """Layers with a response at w0 + Δw, others as they are, frozen ones not at all."""
    model = network()
    model[0].requires_grad_(False)
    net = attach(model, without_response=["1"])
    c = torch.randn(4, 2, dtype=torch.float64)
    weights = dict(model.named_parameters())
    wanted = []
    for c_i in c:
        deltas = explicit(net, c_i)
        assert set(deltas) == {"5.weight", "5.bias"}
        trained = {name: w for name, w in weights.items() if not name.startswith("0.")}
        wanted.append(torch.stack([(w + deltas.get(name, 0.0)).square().sum() for name, w in trained.items()]).sum())
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        y = net.squared_norm()
    close(y, torch.stack(wanted))
    close(net.squared_norm(), torch.stack([w.square().sum() for w in weights.values() if w.requires_grad]).sum()[None])


def test_a_frozen_layer_does_not_respond() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    net = attach(model)
    assert [name for name, _ in net.named()] == ["1"]
    assert len(net.w0) == 2


def test_transformer_layers_take_no_short_cut_around_the_response() -> None:
    """In evaluation without gradients PyTorch calls one kernel on the weights themselves."""
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    net = attach(layer, without_response=["self_attn", "norm1", "norm2"])
    z = torch.randn(3, 2, 4, dtype=torch.float64)
    c = torch.ones(1, 2, dtype=torch.float64)
    with net.through(Pass(net.hyper.lam.detach()[None], c, 3)):
        trained = layer(z)
        with torch.no_grad(), evaluating(layer):
            close(layer(z), trained)


def test_contexts_put_everything_back() -> None:
    """Also after an error; a module that was in evaluation, or frozen, stays so."""
    model = network()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before = [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]
    for context in (evaluating(model), frozen(model.parameters()), frozen_statistics(model)):
        with pytest.raises(ZeroDivisionError), context:
            raise ZeroDivisionError
        after = [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]
        assert after == before
        assert model[1].track_running_stats


def test_instance_statistics_stay_too() -> None:
    norm = nn.InstanceNorm1d(2, track_running_stats=True)
    with frozen_statistics(norm):
        norm(torch.randn(3, 2, 4))
    assert not norm.running_mean.any()  # type: ignore[union-attr]


class Loose(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.fc = nn.Linear(2, 2)


def shared() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model


def partly_frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].bias.requires_grad_(False)
    return model


def several() -> nn.Module:
    """An unknown layer's children are left out with it, and need no name of their own."""
    layers = [nn.Linear(2, 2), nn.GroupNorm(1, 2), nn.MultiheadAttention(2, 1), nn.PReLU()]
    return nn.Sequential(*layers, nn.GroupNorm(1, 2).requires_grad_(False))


def compiled() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model.compile(backend="eager")
    return model


def pruned() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    prune.identity(model[0], "weight")
    return model


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (nn.Sequential(nn.Bilinear(2, 2, 1)), {}, r"layer '0': no response is known for Bilinear .*without_response"),
        (Loose(), {}, "layer 'Loose': no response is known for Loose"),
        (several(), {}, r"GroupNorm .*; nor for 2 more; .*\(without_response=\['1', '2', '3'\]\)"),
        (several(), {"without_response": ["1", "2"]}, r"leave it without one \(without_response=\['3'\]\)"),
        (compiled(), {}, "the model is compiled"),
        (shared(), {}, "'0' and '1' share a parameter"),
        (partly_frozen(), {}, "layer '0' has frozen parameters beside trainable ones"),
        (pruned(), {}, "layer '0' computes its weights"),
        (
            nn.Sequential(nn.Embedding(3, 2, max_norm=1.0)),
            {},
            "layer '0': .* nn.Embedding with max_norm; remove max_norm",
        ),
        (nn.Sequential(nn.ReLU()), {}, "nothing for the hyperparameters to move"),
        (nn.Linear(2, 1).requires_grad_(False), {}, "nothing for the hyperparameters to move"),
        (nn.Linear(2, 1), {"without_response": ["fc"]}, "no module 'fc'"),
    ],
)
def test_what_cannot_respond_is_one_line(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        attach(model, **options)
    assert "\n" not in str(caught.value)
    assert not any("forward" in vars(module) for module in model.modules())


def test_parameters_outside_any_layer_can_be_left_out() -> None:
    net = attach(Loose(), without_response=[""])
    assert [name for name, _ in net.named()] == ["fc"]
    assert len(net.w0) == 3


def test_one_name_to_leave_out_is_a_name_and_not_its_letters() -> None:
    model = nn.Sequential(OrderedDict(body=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    assert [name for name, _ in attach(model, without_response="body").named()] == ["b"]


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_shared_layer_is_left_out_by_either_of_its_names(name: str) -> None:
    shared = nn.Linear(2, 2)
    model = nn.Sequential(OrderedDict(a=shared, c=nn.Linear(2, 2), b=shared))
    assert [one for one, _ in attach(model, without_response=name).named()] == ["c"]


@pytest.mark.parametrize("respond", [True, False])
def test_attaching_twice_is_refused(respond: bool) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    hyper = Hyperparameters(dropout_rates(model))
    Hypernetwork(model, hyper, draws(), respond=respond)
    with pytest.raises(UserError, match="detach the earlier tuner first"):
        Hypernetwork(model, hyper, draws(), respond=respond)


def test_hyperparameters_are_one_attached_models() -> None:
    """A second tuner would move λ of the first, and decide for it what λ = 0 of Eqn. 2.6 is."""
    hyper = two()
    net = Hypernetwork(nn.Sequential(nn.Linear(2, 1)), hyper, draws())
    with pytest.raises(UserError, match="these Hyperparameters are another tuner's, which is attached; detach it, or"):
        Hypernetwork(nn.Sequential(nn.Linear(2, 1)), hyper, draws())
    net.detach()
    Hypernetwork(nn.Sequential(nn.Linear(2, 1)), hyper, draws())


class Counting(nn.Module):
    """Buffers that a call moves: one in place, one replaced."""

    ema: Tensor
    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ema", torch.zeros(2))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.ema.mul_(0.5).add_(x.detach().mean(0))
        self.calls = self.calls + 1
        return x


def test_thetas_pass_puts_every_buffer_back() -> None:
    counting = Counting()
    model = nn.Sequential(counting, nn.BatchNorm1d(2))
    model(torch.ones(3, 2))
    before, own = copy.deepcopy(model.state_dict()), counting.ema
    with frozen_statistics(model):
        model(torch.randn(3, 2))
        assert counting.calls == 2
    assert counting.ema is own
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
