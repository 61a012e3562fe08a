"""Attaching and detaching: the model stays what it is, and what cannot be treated is one line."""

import copy
import warnings
from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.rates.find import dropout_rates
from deep.responses.contexts import evaluating, frozen, frozen_statistics
from deep.tuner.coverage import Coverage
from deep.tuner.first_look import first_look
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import UserError
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
    close(model.eval()(x()), y)
    with torch.no_grad():
        for parameter in net.Theta:
            parameter.normal_(std=0.3)
    with net.through(net.hyper.centre()):
        attached = model(x())
    plain = net.detach()
    assert plain is model
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


def test_each_response_follows_its_own_parameter_and_lam_keeps_float32() -> None:
    """A model in lower precision keeps some layers, as its norms, in float32."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net = attach(model, two())
    model[0].bfloat16()
    model[1].float()
    net.follow()
    for name, _, response in net:
        assert {p.dtype for p in response.parameters()} == {torch.bfloat16 if name.startswith("0.") else torch.float32}
    assert {p.dtype for p in (net.hyper.lam, net.hyper.raw_sigma)} == {torch.float32}


def test_squared_norm_is_of_all_weights_that_train() -> None:
    """Layers with a response at w0 + Δw, others as they are, frozen ones not at all."""
    model = network()
    model[0].requires_grad_(False)
    net = attach(model, without_response=["1.*"])
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


def test_squared_norm_adds_in_the_models_order_so_that_runs_repeat_bit_for_bit() -> None:
    """Numbers from 1 to 1e7, whose sum in float32 depends on the order."""
    model = nn.ParameterDict({f"w{k}": nn.Parameter(torch.full((3,), 1.1 * 10 ** (0.5 * k))) for k in range(15)})
    net = Hypernetwork(model, two(), draws())
    total = torch.zeros(1)
    for w in model.values():
        total = total + w.square().sum()
    assert torch.equal(net.squared_norm(), total)


def test_squared_norm_of_a_pattern_is_that_of_its_parameters() -> None:
    net, c = attach(network()), torch.randn(4, 2, dtype=torch.float64)
    weights = dict(net.model.named_parameters())
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        actual, named = net.squared_norm("*.weight"), net.squared_norm("5", "0.bias")
    deltas = [explicit(net, c_i) for c_i in c]
    for y, names in ((actual, ["0.weight", "1.weight", "5.weight"]), (named, ["5.weight", "5.bias", "0.bias"])):
        close(y, torch.stack([sum((weights[n] + d[n]).square().sum() for n in names) for d in deltas]))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"squared_norm='blocks.\*' is no parameter of the model"):
        net.squared_norm("blocks.*")


def test_a_frozen_layer_does_not_respond() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model[0].requires_grad_(False)
    net = attach(model)
    assert [name for name, _, _ in net] == ["1.weight", "1.bias"]
    assert len(net.w0) == 2


def test_transformer_layers_take_no_short_cut_around_the_response() -> None:
    """In evaluation without gradients PyTorch calls one kernel on the weights themselves."""
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    net = attach(layer)
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

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.fc(x)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    return model


def compiled() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model.compile(backend="eager")
    return model


def scripted() -> nn.Module:
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.script(nn.Sequential(nn.Linear(2, 2)))


def complex_weights() -> nn.Module:
    model = nn.Sequential()
    model.register_parameter("w", nn.Parameter(torch.randn(2, 2, dtype=torch.complex128)))
    return model


def pruned() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    prune.identity(model[0], "weight")
    return model


def partly_frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].bias.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    "build", [Loose, tied, partly_frozen, complex_weights, lambda: nn.Sequential(nn.Embedding(3, 2))]
)
def test_every_trainable_parameter_responds_once(build: Any) -> None:
    net = attach(build())
    assert {id(w) for _, w, _ in net} == {id(w) for w in net.model.parameters() if w.requires_grad}
    assert len(list(net)) == len(net.w0) == len(net.responses)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (compiled(), {}, "the model is compiled"),
        (scripted(), {}, "the model is compiled"),
        (nn.Sequential(nn.ReLU()), {}, "nothing for the hyperparameters to move"),
        (nn.Linear(2, 1).requires_grad_(False), {}, "nothing for the hyperparameters to move"),
        (nn.Linear(2, 1), {"without_response": ["fc"]}, "without_response='fc' is no parameter of the model"),
        (nn.Linear(2, 1), {"without_response": "*"}, "nothing for the hyperparameters to move"),
    ],
)
def test_what_cannot_respond_is_one_line(model: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        attach(model, **options)
    assert "\n" not in str(caught.value)


def test_parameters_are_left_out_by_name_by_pattern_or_by_their_module() -> None:
    model = nn.Sequential(OrderedDict(body=nn.Linear(2, 2), b=nn.Linear(2, 2)))
    for without, left in (
        ("body", ["b.weight", "b.bias"]),
        (["*.bias"], ["body.weight", "b.weight"]),
        (["body.weight", "b"], ["body.bias"]),
    ):
        net = attach(model, without_response=without)
        assert [name for name, _, _ in net] == left
        assert len(net.w0) == 4
        net.detach()


@pytest.mark.parametrize("name", ["a", "b.weight"])
def test_a_shared_layer_is_left_out_by_either_of_its_names(name: str) -> None:
    """And a layer that is frozen by its name, though it has nothing to leave out."""
    shared = nn.Linear(2, 2, bias=False)
    frozen = nn.Linear(2, 2).requires_grad_(False)
    model = nn.Sequential(OrderedDict(a=shared, c=nn.Linear(2, 2), b=shared, d=frozen))
    net = attach(model, without_response=[name, "d"])
    assert [name for name, _, _ in net] == ["c.weight", "c.bias"]


def test_a_parameter_outside_any_operation_that_is_seen_is_named() -> None:
    """As one that nothing uses, and one that a hook has multiplied before anybody looked (pruning)."""
    for model, name in ((Unused(), "idle"), (pruned(), "0.weight_orig")):
        net, x = attach(model), torch.randn(3, 2, dtype=torch.float64)
        first_look(net, net.model, x, 3, ("weights",))
        assert (name in Coverage.of(net).reasons) == (name == "idle")


class Unused(Loose):
    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.ones(2))


@pytest.mark.parametrize("respond", [True, False])
def test_attaching_twice_is_refused(respond: bool) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    hyper = Hyperparameters(dropout_rates(model))
    net = Hypernetwork(model, hyper, draws(), respond=respond)
    with pytest.raises(UserError, match="detach the earlier tuner first"):
        Hypernetwork(model, hyper, draws(), respond=respond)
    assert net.attached


def test_a_model_whose_tuner_is_lost_and_a_copy_of_one_can_be_attached_again() -> None:
    model, hyper = nn.Sequential(nn.Linear(2, 2)), two()
    net = Hypernetwork(model, hyper, draws())
    twin = Hypernetwork(copy.deepcopy(model), two(), draws())
    del net
    assert Hypernetwork(model, hyper, draws()).attached
    assert twin.attached


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
