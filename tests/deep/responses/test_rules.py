"""Eqn. 3.14 and E.1, operation by operation, against the Θ that they stand for, one example after another."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.utils import parametrizations

from deep.hyper.hyperparameters import Pass
from deep.responses.contexts import frozen
from deep.responses.forward import RULES, register
from deep.tuner.first_look import first_look
from deep.tuner.gradients import evaluate
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import UserError
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
    dims, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    modes = ["zeros", "replicate", "circular", *(["reflect"] if dims < 3 else [])]
    layer = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
        2 * groups,
        groups * draw(st.integers(1, 2)),
        kernel_size=draw(st.integers(1, 3)),
        stride=draw(st.integers(1, 2)),
        padding=draw(st.integers(0, 2)),
        dilation=draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(modes)),  # type: ignore
    )
    return layer, torch.randn(n, 2 * groups, *[6 if dims < 3 else 5] * dims)


@st.composite
def transposed(draw: st.DrawFn, n: int) -> Layer:
    dims, groups = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1]
    sizes = 2 * groups, groups * draw(st.integers(1, 2)), draw(st.integers(1, 3))
    layer = kind(*sizes, stride=draw(st.integers(1, 2)), groups=groups, bias=draw(st.booleans()))
    return layer, torch.randn(n, 2 * groups, *[3] * dims)


@st.composite
def norms(draw: st.DrawFn, n: int) -> Layer:
    kinds = [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm1d(4, affine=True),
        nn.LayerNorm(5),
        nn.LayerNorm([4, 5]),
        nn.RMSNorm(5),
    ]
    return draw(st.sampled_from(kinds)), torch.randn(n, 4, 5)


@st.composite
def activations(draw: st.DrawFn, n: int) -> Layer:
    return nn.PReLU(draw(st.sampled_from([1, 4]))), torch.randn(n, 4, *draw(st.lists(st.integers(1, 3), max_size=2)))


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


KINDS = [linears, convolutions, transposed, batch_norms, norms, activations, embeddings]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


@kinds
@given(data=st.data())
@settings(max_examples=15)
def test_a_layer_has_the_weights_that_its_response_stands_for(kind: Kind, data: st.DataObject) -> None:
    net, plain, x, c = data.draw(layers(kind))()
    with net.through(Pass(net.hyper.lam.detach()[None], c, len(x))):
        y = net.model(x)
    close(y, one_by_one(net, plain, c, x))


@kinds
@given(data=st.data())
@settings(max_examples=6)
def test_squared_norm_is_that_of_each_examples_own_weights(kind: Kind, data: st.DataObject) -> None:
    net, plain, x, c = data.draw(layers(kind))()
    wanted = [
        sum((w + explicit(net, c_i)[name]).square().sum() for name, w in plain.named_parameters())
        for c_i in c.expand(len(x), -1)
    ]
    for kind_of_pass in ("weights", "linearised"):
        with net.through(Pass(net.hyper.lam.detach()[None], c, len(x), kind_of_pass)):
            y = net.squared_norm()
        close(y, torch.stack(wanted))  # type: ignore[arg-type]


@kinds
@given(data=st.data())
@settings(max_examples=6)
def test_detaching_adds_the_response_to_the_weights(kind: Kind, data: st.DataObject) -> None:
    """Not centred, the current weights are φ0 + Φλ."""
    net, plain, _, c = data.draw(layers(kind))()
    net.hyper.centred = False
    net.hyper.lam.data.copy_(c[0])
    deltas = explicit(net, c[0])
    net.detach()
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
        point = Pass(net.hyper.lam.detach()[None], c, len(x), kind="linearised")
        seen: list[Tensor] = []
        evaluate(net, objective(net, lambda y, t: seen.append(_y(y)) or seen[0].sum()), x, None, point)
    close(seen[0], torch.stack(wanted))


@networks
@pytest.mark.parametrize("train", [True, False])
@given(seed=torch_seeds)
@settings(max_examples=4)
def test_networks_see_the_perturbed_weights_of_each_layer(build: Callable[[], Layer], train: bool, seed: int) -> None:
    net, plain, x = made(build, seed, train)
    c = torch.randn(1 if train else len(x), 2, dtype=torch.float64)
    with net.through(Pass(net.hyper.lam.detach()[None], c, len(x))):
        measured = _y(net.model(x))
    plain_y = _Y(plain) if isinstance(plain, Residual) else plain
    if isinstance(plain, Residual):
        deltas = [{f"whole.{name}": d for name, d in explicit(net, c_i).items()} for c_i in c.expand(len(x), -1)]
        weights = {f"whole.{name}": p for name, p in net.model.named_parameters()}
        wanted = [
            functional_call(plain_y, {k: w + d[k] for k, w in weights.items()}, (x,))[i] for i, d in enumerate(deltas)
        ]
        close(measured, torch.stack(wanted))
    else:
        close(measured, one_by_one(net, plain, c, x))


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
    W1, b1, gamma, beta, W2, b2 = (torch.stack([item[name] for item in each]) for name in w)
    y = (W1 @ x[..., None])[..., 0] + b1
    y = gamma * (y - y.mean(0)) / (y.var(0, unbiased=False) + model[1].eps).sqrt() + beta  # type: ignore[operator]
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        measured = model(x)
    close(measured, (W2 @ y[..., None])[..., 0] + b2)


def test_a_response_starts_at_zero_and_can_learn() -> None:
    """U = 0, and the response is drawn as the layer is, where that is not all zeros."""
    net = Hypernetwork(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), two(), attach(nn.Linear(1, 1)).draws)
    assert len(list(net)) == 4
    for _, _, response in net:
        assert not response.U.any()
        assert response.response.any()


def test_padding_does_not_respond() -> None:
    """nn.Embedding gives its padding row no gradient; nor has its response one."""
    net = attach(nn.Sequential(nn.Embedding(3, 2, padding_idx=0)))
    with net.through(Pass(net.hyper.lam.detach()[None], torch.ones(1, 2, dtype=torch.float64), 3)):
        net.model(torch.tensor([0, 1, 2])).square().sum().backward()
    gradient = next(iter(net))[2].response.grad
    assert gradient is not None
    assert not gradient[0].any()
    assert gradient[1:].all()


# Models of today: a weight where no layer of PyTorch's has it.


class Uses(nn.Module):
    """Named parameters, and a function of them and of the input."""

    def __init__(self, call: Callable[[Any, Tensor], Tensor], **shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.call = call
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape)))

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self, x)


def joined(m: Any, x: Tensor) -> Tensor:
    return torch.cat([m.token.expand(len(x), -1, -1), x, m.token.repeat(len(x), 1, 1)], 1)


def regrouped(m: Any, x: Tensor) -> Tensor:
    return F.linear(x.flatten(0, 1), m.w, m.b).unflatten(0, x.shape[:2])


def steps_first(m: Any, x: Tensor) -> Tensor:
    return F.linear(x.transpose(0, 1).flatten(0, 1), m.w).unflatten(0, (x.shape[1], -1)).transpose(0, 1)


def positions(m: Any, x: Tensor) -> Tensor:
    return x + F.embedding(torch.arange(x.shape[1]), m.w)


def attention(m: Any, x: Tensor) -> Tensor:
    scores = x @ x.mT + m.table[torch.arange(16) % 7].view(4, 4).tanh()
    return (scores.softmax(-1) @ x) @ m.scale.exp().diag()


def in_parts(m: Any, x: Tensor) -> Tensor:
    first, second = m.w.chunk(2)
    return torch.cat([x @ first.mT, F.linear(x, second), F.linear(x, m.w[1:3]), x @ m.w.T[:, ::2]], -1)


def tied(m: Any, x: Tensor) -> Tensor:
    return F.linear(F.embedding((x * 3).long().clamp(0, 4), m.w).sum(2), m.w)


def in_place(m: Any, x: Tensor) -> Tensor:
    y = x.clone()
    y.mul_(m.scale)
    y += m.b
    return y


USES: dict[str, Uses] = {
    "matmul": Uses(lambda m, x: x @ m.w, w=(3, 2)),
    "addmm": Uses(lambda m, x: torch.addmm(m.b, x.flatten(0, 1), m.w).unflatten(0, x.shape[:2]), w=(3, 2), b=(2,)),
    "einsum": Uses(lambda m, x: torch.einsum("nti,hij->nthj", x, m.w), w=(2, 3, 2)),
    "bilinear": Uses(lambda m, x: F.bilinear(x, x, m.w, m.b), w=(2, 3, 3), b=(2,)),
    "weight first": Uses(lambda m, x: m.w @ x, w=(2, 4)),
    "scale and shift": Uses(lambda m, x: m.scale * x + m.b - x / m.scale, scale=(3,), b=(4, 1)),
    "rms norm by hand": Uses(lambda m, x: m.scale * (x * x.square().mean(-1, keepdim=True).rsqrt()), scale=(3,)),
    "where": Uses(lambda m, x: torch.where(x > 0, x, m.b), b=(1, 4, 3)),
    "class token": Uses(joined, token=(1, 1, 3)),
    "windows": Uses(regrouped, w=(2, 3), b=(2,)),
    "steps first": Uses(steps_first, w=(2, 3)),
    "steps first, in rows of one sum": Uses(lambda m, x: steps_first(m, torch.cat([x, 1 - x], -1)), w=(2, 6)),
    "positions as long as the batch": Uses(positions, w=(9, 3)),
    "a table of biases": Uses(attention, table=(7,), scale=(3,)),
    "in parts": Uses(in_parts, w=(4, 3)),
    "tied": Uses(tied, w=(5, 2)),
    "in place": Uses(in_place, scale=(3,), b=(4, 3)),
    "a part changed in place": Uses(lambda m, x: x @ m.w.sin().div_(2.0), w=(3, 2)),
    "rounded, by detaching": Uses(lambda m, x: x @ (m.w + ((4 * m.w).round() / 4 - m.w).detach()), w=(3, 2)),
    "repeated, two rows an example": Uses(
        lambda m, x: torch.bmm(x.reshape(2 * len(x), 2, 3), m.w.exp().repeat(len(x), 1, 1)).view(len(x), -1),
        w=(2, 3, 2),
    ),
    "a product of weights": Uses(lambda m, x: x @ (m.a @ m.w), a=(3, 2), w=(2, 3)),
    "a mask on a weight": Uses(lambda m, x: F.linear(x, m.w * torch.ones(2, 3).triu().double()), w=(2, 3)),
    "a bias in parts": Uses(
        lambda m, x: F.linear(x, m.w, torch.cat([m.a, torch.zeros(1).double(), m.b])), w=(4, 3), a=(2,), b=(1,)
    ),
    "a temperature": Uses(lambda m, x: x * m.t.exp() + m.t, t=()),
    "normalised weights": Uses(lambda m, x: F.linear(x, F.normalize(m.w, dim=1)), w=(2, 3)),
    "a norm of a norm": Uses(lambda m, x: F.layer_norm(x, (4, 3), m.w, m.b), w=(4, 3), b=(4, 3)),
    "embedding bag": Uses(lambda m, x: F.embedding_bag((x * 3).long().clamp(0, 4).flatten(1), m.w), w=(5, 2)),
}
uses = pytest.mark.parametrize("name", USES)


def looked(
    model: nn.Module, x: Tensor, kinds: tuple[str, ...] = ("weights",)
) -> tuple[Hypernetwork, nn.Module, Tensor]:
    """A net that has seen its model run, a plain copy, and a c for each example."""
    plain, net = copy.deepcopy(model).double(), attach(copy.deepcopy(model))
    first_look(net, net.model, x, len(x), kinds)
    assert {name for name, _, _ in net} == set(dict(plain.named_parameters())), net.silent
    return net, plain, torch.randn(len(x), 2, dtype=torch.float64)


@uses
@pytest.mark.parametrize("n", [4, 5])
def test_every_use_of_a_weight_has_each_examples_own(name: str, n: int) -> None:
    """Four examples are as many as there are steps; which of the two is which is not told by the length."""
    torch.manual_seed(0)
    x = torch.randn(n, 4, 3, dtype=torch.float64)
    net, plain, c = looked(USES[name], x)
    with net.through(Pass(net.hyper.lam.detach()[None], c, n)):
        y = net.model(x)
    close(y, one_by_one(net, plain, c, x))


@pytest.mark.parametrize("name", [name for name, use in USES.items() if len(list(use.parameters())) > 1])
def test_a_parameter_left_out_after_the_look_leaves_the_others_in_their_places(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    for left_out in dict(USES[name].named_parameters()):
        net, plain, c = looked(USES[name], x)
        net.silent[left_out] = "no rule"
        with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
            y = net.model(x)
        close(y, one_by_one(net, plain, c, x))


def test_where_one_cannot_be_followed_the_others_are_at_each_examples_own() -> None:
    """Indices by a mask have no rule; what they give is as long as the batch, and is none."""
    torch.manual_seed(0)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    call: Any = lambda m, x: F.linear(x, m.w) * F.linear(m.r[m.r.exp() > 0].view(4, 3), m.v)  # noqa: E731
    model = Uses(call, w=(2, 3), v=(2, 3), r=(4, 3))
    plain, net = copy.deepcopy(model).double(), attach(model)
    first_look(net, net.model, x, 4, ("weights",))
    assert set(net.silent) == {"r"}
    c = torch.randn(4, 2, dtype=torch.float64)
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        y = net.model(x)
    close(y, one_by_one(net, plain, c, x))


@pytest.mark.parametrize("rows", [slice(0, 2), slice(0, 0)])
def test_rows_of_some_examples_are_not_taken_for_what_all_share(rows: slice) -> None:
    """A mixture of experts: two examples, or none, are of an expert, and the last one is not."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, dtype=torch.float64)
    model = Uses(lambda m, x: (x @ m.w).index_add(0, torch.arange(4)[rows], x[rows] @ m.e), w=(3, 2), e=(3, 2))
    plain, net = copy.deepcopy(model).double(), attach(model)
    first_look(net, net.model, x, 4, ("weights", "linearised"))
    assert set(net.silent) == {"e"}
    c = torch.randn(4, 2, dtype=torch.float64)
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        y = net.model(x)
    close(y, one_by_one(net, plain, c, x))


@pytest.mark.parametrize("seed", range(4))
def test_what_is_done_at_random_is_the_same_in_both_runs_of_the_look(seed: int) -> None:
    torch.manual_seed(seed)
    net = attach(Uses(lambda m, x: x @ m.w if torch.rand(()) < 0.5 else x @ m.w.tanh(), w=(3, 2)))
    first_look(net, net.model, torch.randn(4, 3, dtype=torch.float64), 4, ("weights",))
    assert not net.silent


@uses
def test_every_uses_tangent_is_the_jacobian_times_delta_w(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    net, plain, c = looked(USES[name], x, ("weights", "linearised"))
    if name == "embedding bag":  # which has no forward derivative itself
        plain.call = lambda m, x: F.embedding((x * 3).long().clamp(0, 4).flatten(1), m.w).mean(1)  # type: ignore
    w = {name: p.detach() for name, p in net.model.named_parameters()}
    wanted = []
    for i, c_i in enumerate(c):
        deltas = {name: delta.detach() for name, delta in explicit(net, c_i).items()}
        value, tangent = jvp(lambda w: functional_call(plain, w, (x,)), (w,), (deltas,))  # type: ignore
        wanted.append((value + tangent)[i])
    seen: list[Tensor] = []
    with frozen(net.w0):
        point = Pass(net.hyper.lam.detach()[None], c, 4, "linearised")
        evaluate(net, objective(net, lambda y, t: seen.append(y) or y.sum()), x, None, point)
    close(seen[0], torch.stack(wanted))


@uses
@pytest.mark.parametrize("kind", ["weights", "differential"])
def test_every_uses_gradient_is_that_through_written_out_weights(name: str, kind: str) -> None:
    """Of a differential: in Θ that of Σ_i ⟨g0_i, Δw_i⟩, g0_i being example i's part of the gradient at w0."""
    torch.manual_seed(0)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    net, plain, c = looked(USES[name], x, ("weights", "differential"))
    w = dict(net.model.named_parameters())
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4, kind)):
        loss = net.model(x).square().sum()
    actual = torch.autograd.grad(loss, [*net.w0, *net.Theta])
    if kind == "weights":
        desired = torch.autograd.grad(one_by_one(net, plain, c, x).square().sum(), [*net.w0, *net.Theta])
    else:
        each = [functional_call(plain, w, (x,))[i].square().sum() for i in range(4)]  # type: ignore
        inner = torch.zeros(())
        for loss_i, c_i in zip(each, c, strict=True):
            g0 = torch.autograd.grad(loss_i, list(w.values()), retain_graph=True)
            deltas = explicit(net, c_i)
            inner = inner + sum((g * deltas[name]).sum() for name, g in zip(w, g0, strict=True))
        desired = (*torch.autograd.grad(sum(each), list(w.values())), *torch.autograd.grad(inner, net.Theta))  # type: ignore
    for item, other in zip(actual, desired, strict=True):
        close(item, other)


def normed() -> nn.Module:
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2))


def spectral() -> nn.Module:
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 2)).eval()


def orthogonal() -> nn.Module:
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(3, 3), orthogonal_map="cayley"), nn.Linear(3, 2))


def convolved() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 3)), parametrizations.weight_norm(nn.Conv1d(1, 2, 2)), nn.Flatten())


@pytest.mark.parametrize("build", [normed, spectral, orthogonal, convolved])
@given(seed=torch_seeds)
@settings(max_examples=4)
def test_a_parametrised_weight_responds_through_its_parametrisation(build: Callable[[], nn.Module], seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(4, 3, dtype=torch.float64)
    net, plain, c = looked(build(), x, ("weights", "linearised", "differential"))
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        y = net.model(x)
    close(y, one_by_one(net, plain, c, x), 1e-8)


def test_a_spectral_norm_in_training_iterates_at_w0() -> None:
    """Its vectors are buffers, which the pass has moved; each example's norm is its own with these."""
    torch.manual_seed(0)
    x = torch.randn(4, 3, dtype=torch.float64)
    net, plain, c = looked(spectral().train(), x, ("weights", "linearised", "differential"))
    with net.through(Pass(net.hyper.lam.detach()[None], c, 4)):
        y = net.model(x)
    plain.load_state_dict(net.model.state_dict())
    close(y, one_by_one(net, plain.eval(), c, x))


def test_ones_own_operation_can_be_given_a_rule() -> None:
    """Here one that doubles the response, and so is seen to be the one that is used."""
    x = torch.randn(3, 2, dtype=torch.float64)
    model = Uses(lambda m, x: torch.special.xlog1py(x, m.w), w=(2,))

    def rule(call: Any, x: Tensor, w: Any) -> Tensor:
        return torch.special.xlog1py(x, 2 * call.beside(w, call.place, x.ndim))

    model.w.data.abs_()  # type: ignore[union-attr, operator]
    register(torch.special.xlog1py, rule)
    try:
        net, plain, c = looked(model, x)
        doubled = {name: 2 * w for name, w in net.model.named_parameters()}
        with net.through(Pass(net.hyper.lam.detach()[None], 0 * c, 3)):
            y = net.model(x)
        close(y, functional_call(plain, doubled, (x,)))
    finally:
        del RULES[torch.special.xlog1py]


def test_what_cannot_be_followed_keeps_theta_0_and_is_named() -> None:
    """Rows that mix the examples belong to none."""
    model = Uses(lambda m, x: F.linear(x.cumsum(0), m.w) + torch.linalg.pinv(m.v).sum() * x.sum(0), w=(3, 3), v=(2, 2))
    net, x = attach(model), torch.randn(4, 3, dtype=torch.float64)
    first_look(net, net.model, x, 4, ("weights",))
    with net.through(Pass(net.hyper.lam.detach()[None], torch.ones(4, 2).double(), 4)):
        net.model(x)
    assert set(net.silent) <= {"v"}


class Swish(torch.autograd.Function):
    """Has a derivative backwards alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return gradients[0] * (s + x * s * (1 - s))


def test_a_function_without_a_forward_derivative_is_named_at_the_first_look() -> None:
    x = torch.randn(4, 3, dtype=torch.float64)
    net = attach(Uses(lambda m, x: Swish.apply(x @ m.w), w=(3, 2)))  # type: ignore[no-untyped-call]
    first_look(net, net.model, x, 4, ("weights",))
    with pytest.raises(UserError, match=r"no forward-mode derivative .* choose a method without linearisation"):
        first_look(net, net.model, x, 4, ("linearised",))


def test_inputs_that_need_a_gradient_which_nobody_takes_change_nothing() -> None:
    """As the wav2vec 2 of transformers has them, so that checkpoints work."""
    torch.manual_seed(0)
    x = torch.randn(4, 4, 3, dtype=torch.float64)
    model = Uses(lambda m, x: (x.detach().requires_grad_() @ m.w).tanh() @ m.w.mT, w=(3, 2))
    net, _, c = looked(model, x, ("weights", "linearised"))
    gradients = []
    for call in (model.call, lambda m, x: (x @ m.w).tanh() @ m.w.mT):
        net.model.call = call  # type: ignore[assignment]
        with frozen(net.w0):
            now = Pass(net.hyper.lam.detach()[None], c, 4, "linearised")
            loss, _ = evaluate(net, objective(net), x, torch.zeros(()), now)
        gradients.append(torch.autograd.grad(loss, net.Theta))
    for actual, desired in zip(*gradients, strict=True):
        close(actual, desired)
