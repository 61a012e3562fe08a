"""Eqn. 3.14 and E.1 on PyTorch's layers against the Θ that they stand for, one example after another."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, jvp

from deep.tuner.contexts import frozen
from deep.tuner.hypernet import Hypernetwork
from deep.hyper.hyperparameters import Pass
from deep.layers import register
from deep.responses.row_response import Branch, RowResponse
from deep.tuner.gradients import evaluate
from reference.command import UserError
from tests.deep.strategies import attach, batches, close, explicit, objective, one_by_one, torch_seeds, two

Layer = tuple[nn.Module, Tensor]
Kind = Callable[[int], st.SearchStrategy[tuple[nn.Module, Tensor]]]
Drawn = Callable[[], tuple[Hypernetwork, nn.Module, Tensor, Tensor]]


@st.composite
def linears(draw: st.DrawFn, n: int) -> Layer:
    """With a bias or not, and inputs with up to two axes between the first and the last."""
    between = draw(st.lists(st.integers(1, 3), max_size=2))
    m_in, m_out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return nn.Linear(m_in, m_out, bias=draw(st.booleans())), torch.randn(n, *between, m_in)


@st.composite
def convolutions(draw: st.DrawFn, n: int) -> Layer:
    dims, groups = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    layer = (nn.Conv1d, nn.Conv2d)[dims - 1](
        2 * groups,
        groups * draw(st.integers(1, 2)),
        kernel_size=draw(st.integers(1, 3)),
        stride=draw(st.integers(1, 2)),
        padding=draw(st.integers(0, 2)),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    )
    return layer, torch.randn(n, 2 * groups, *[6] * dims)


@st.composite
def batch_norms(draw: st.DrawFn, n: int) -> Layer:
    """In training or evaluation, with running statistics or not; never one number a channel in training."""
    dims = draw(st.integers(0, 2))
    kind = nn.BatchNorm2d if dims == 2 else nn.BatchNorm1d
    layer = kind(3, momentum=draw(st.sampled_from([0.3, None])), track_running_stats=draw(st.booleans()))
    if layer.track_running_stats:
        layer.running_mean.normal_()  # type: ignore[union-attr]
        layer.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
    layer.train(draw(st.booleans()))
    return layer, torch.randn(n + 1, 3, *[2] * dims)


@st.composite
def embeddings(draw: st.DrawFn, n: int) -> Layer:
    x = torch.randint(0, 4, (n, *draw(st.lists(st.integers(1, 3), max_size=2))))
    return nn.Embedding(4, draw(st.integers(1, 3)), padding_idx=draw(st.sampled_from([None, 1]))), x


@st.composite
def layers(draw: st.DrawFn, kind: Kind) -> Drawn:
    """A layer with its response, a plain copy, inputs, and a c for each example or for the batch."""
    torch.manual_seed(draw(torch_seeds))
    n = draw(batches)
    layer, x = draw(kind(n))
    layer, x = layer.double(), x.double() if x.is_floating_point() else x
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    plain, count = copy.deepcopy(layer), draw(st.integers(1, 3))
    c = torch.randn(draw(st.sampled_from([1, len(x)])), count, dtype=torch.float64)
    # Attached in the test itself: type checks pick entries by `random`, which hypothesis bans within strategies.
    return lambda: (attach(layer, two(count)), plain, x, c)


kinds = pytest.mark.parametrize("kind", [linears, convolutions, batch_norms, embeddings])


@kinds
@given(data=st.data())
@settings(max_examples=15)
def test_a_layer_has_the_weights_that_its_response_stands_for(kind: Kind, data: st.DataObject) -> None:
    net, plain, x, c = data.draw(layers(kind))()
    with net.through(Pass(net.hyper.lam.detach()[None], c, len(x))):
        close(net.model(x), one_by_one(net, plain, c, x))


@kinds
@given(data=st.data())
@settings(max_examples=6)
def test_squared_norm_is_that_of_each_examples_own_weights(kind: Kind, data: st.DataObject) -> None:
    net, plain, x, c = data.draw(layers(kind))()
    wanted = [
        sum((w + explicit(net, c_i)[name]).square().sum() for name, w in plain.named_parameters())
        for c_i in c.expand(len(x), -1)
    ]
    for linearised in (False, True):
        with net.through(Pass(net.hyper.lam.detach()[None], c, len(x), linearised)):
            close(net.squared_norm(), torch.stack(wanted))  # type: ignore[arg-type]


@kinds
@given(data=st.data())
@settings(max_examples=6)
def test_settling_adds_the_response_to_the_weights(kind: Kind, data: st.DataObject) -> None:
    net, plain, _, c = data.draw(layers(kind))()
    deltas = explicit(net, c[0])
    for branch in net:
        branch.settle(c[0])
    for name, w in plain.named_parameters():
        close(dict(net.model.named_parameters())[name], w + deltas[name])


# Networks: everything that the linearisation must pass through.


class Residual(nn.Module):
    """A layer called twice, by keyword, an addition in place and a dict of outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4, affine=False)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = torch.relu_(self.keys(input=x))
        y = y + torch.tanh(self.keys(y))
        y += x
        return {"y": self.head(self.norm(y)), "most": y.argmax(1), "both": (y, "label")}


def mlp() -> Layer:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.ReLU(inplace=True), nn.Linear(5, 2)), _x(4)


def conv() -> Layer:
    body = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    return nn.Sequential(body, nn.Conv2d(3, 2, 2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 2)), _x(2, 6, 6)


def text() -> Layer:
    tail = [nn.Flatten(), nn.Linear(6, 3), nn.BatchNorm1d(3), nn.Sigmoid(), nn.Linear(3, 1)]
    return nn.Sequential(nn.Embedding(5, 2, padding_idx=0), *tail), torch.randint(0, 5, (4, 3))


def reused() -> Layer:
    return Residual(), _x(4)


def _x(*shape: int) -> Tensor:
    return torch.randn(4, *shape, dtype=torch.float64)


NETWORKS = [mlp, conv, text, reused]
networks = pytest.mark.parametrize("build", NETWORKS)


def made(build: Callable[[], Layer], seed: int, train: bool) -> tuple[Hypernetwork, nn.Module, Tensor]:
    """In training a plain copy without running statistics, which functional transforms could not move."""
    torch.manual_seed(seed)
    model, x = build()
    model.double().train(train)
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and train:
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    return attach(model), plain, x


def _y(outputs: Any) -> Tensor:
    return outputs["y"] if isinstance(outputs, dict) else outputs


@networks
@pytest.mark.parametrize("train", [True, False])
@given(seed=torch_seeds)
@settings(max_examples=4)
def test_the_tangent_pass_is_the_jacobian_times_delta_w(build: Callable[[], Layer], train: bool, seed: int) -> None:
    """In training with one c, since batch statistics mix examples; in evaluation with one for each."""
    net, plain, x = made(build, seed, train)
    c = torch.randn(1 if train else len(x), 2, dtype=torch.float64)
    w = {name: p.detach() for name, p in net.model.named_parameters()}
    wanted = []
    for i, c_i in enumerate(c.expand(len(x), -1)):
        deltas = {name: delta.detach() for name, delta in explicit(net, c_i).items()}
        both = jvp(lambda w: _y(functional_call(plain, w, (x,))), (w,), (deltas,))
        wanted.append((both[0] + both[1])[i])
    with frozen(net.w0):
        at = Pass(net.hyper.lam.detach()[None], c, len(x), kind="linearised")
        seen: list[Tensor] = []
        evaluate(net, objective(net, lambda y, t: seen.append(_y(y)) or seen[0].sum()), x, None, at)
    close(seen[0], torch.stack(wanted))


@networks
@pytest.mark.parametrize("train", [True, False])
@given(seed=torch_seeds)
@settings(max_examples=4)
def test_networks_see_the_perturbed_weights_of_each_layer(build: Callable[[], Layer], train: bool, seed: int) -> None:
    net, plain, x = made(build, seed, train)
    c = torch.randn(1 if train else len(x), 2, dtype=torch.float64)
    with net.through(Pass(net.hyper.lam.detach()[None], c, len(x))):
        found = _y(net.model(x))
    plain_y = _Y(plain) if isinstance(plain, Residual) else plain
    if isinstance(plain, Residual):
        deltas = [{f"whole.{name}": d for name, d in explicit(net, c_i).items()} for c_i in c.expand(len(x), -1)]
        weights = {f"whole.{name}": p for name, p in net.model.named_parameters()}
        wanted = [
            functional_call(plain_y, {k: w + d[k] for k, w in weights.items()}, (x,))[i] for i, d in enumerate(deltas)
        ]
        close(found, torch.stack(wanted))
    else:
        close(found, one_by_one(net, plain, c, x))


class _Y(nn.Module):
    def __init__(self, whole: nn.Module) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        return _y(self.whole(x))


def test_batch_statistics_are_those_of_examples_with_weights_of_their_own() -> None:
    """Linear, BatchNorm in training, Linear written out with a weight matrix for each example."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    net, x = attach(model), _x(3)
    c = torch.randn(4, 2, dtype=torch.float64)
    w = dict(model.named_parameters())
    each = [{name: w[name] + delta for name, delta in explicit(net, c_i).items()} for c_i in c]
    W1, b1, gamma, beta, W2, b2 = (torch.stack([one[name] for one in each]) for name in w)
    y = (W1 @ x[..., None])[..., 0] + b1
    y = gamma * (y - y.mean(0)) / (y.var(0, unbiased=False) + model[1].eps).sqrt() + beta  # type: ignore[operator]
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        close(model(x), (W2 @ y[..., None])[..., 0] + b2)


def test_a_response_starts_at_zero_and_can_learn() -> None:
    """U = 0, and the response is drawn as the layer is, where that is not all zeros."""
    net = Hypernetwork(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), two(), attach(nn.Linear(1, 1)).draws)
    for branch in net:
        for response in branch.responses.values():
            assert isinstance(response, RowResponse)
            assert not response.U.any()
            assert response.response.any()


def test_padding_does_not_respond() -> None:
    """nn.Embedding gives its padding row no gradient; nor has its response one."""
    net = attach(nn.Sequential(nn.Embedding(3, 2, padding_idx=0)))
    with net.through(Pass(net.hyper.lam.detach()[None], torch.ones(1, 2, dtype=torch.float64), 3)):
        net.model(torch.tensor([0, 1, 2])).square().sum().backward()
    gradient = next(iter(net)).of("weight").response.grad
    assert gradient is not None
    assert not gradient[0].any()
    assert gradient[1:].all()


def test_examples_off_the_first_axis_are_refused() -> None:
    net = attach(nn.Sequential(nn.Flatten(0, 1), nn.Linear(2, 1)))
    c = torch.zeros(3, 2, dtype=torch.float64)
    with (
        net.through(Pass(net.hyper.lam.detach()[None], c, 3)),
        pytest.raises(UserError, match="a Linear sees 12 rows in a batch of 3 examples"),
    ):
        net.model(torch.randn(3, 4, 2, dtype=torch.float64))


def test_a_layer_of_ones_own_can_be_registered() -> None:
    from deep.layers import BRANCHES, LinearBranch

    class Mine(nn.Linear):
        pass

    with pytest.raises(UserError, match="register"):
        attach(Mine(2, 1))
    register(Mine, LinearBranch)
    try:
        assert len(attach(Mine(2, 1)).Theta) == 4
    finally:
        del BRANCHES[Mine]


def test_a_registered_layer_that_cannot_be_drawn_anew_is_one_line() -> None:
    from deep.layers import BRANCHES

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.ones(2))

    register(Scale, Branch)
    try:
        with pytest.raises(UserError, match="layer 'Scale': a Scale has no reset_parameters, from which its response"):
            attach(Scale())
    finally:
        del BRANCHES[Scale]
