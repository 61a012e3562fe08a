"""Dropout with a rate for each example: masks, what is dropped together, tangents, copies, and whatever drops."""

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from deep import Tuner
from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.rates.dropout import mask
from deep.rates.find import dropout_rates
from deep.rates.sequence import VariationalDropout, WeightDropout
from deep.tuner.hypernet import Hypernetwork
from reference.console.command import UserError
from reference.rule.updates import CENTERED_STN
from tests.deep.strategies import close, draws, half_square, torch_seeds

RATES = torch.tensor([0.1, 0.5, 0.8], dtype=torch.float64)
LAM = torch.logit(RATES / 0.95)[:, None]


def tuned(*modules: nn.Module) -> Hypernetwork:
    model = nn.Sequential(*modules).double()
    return Hypernetwork(model, Hyperparameters(dropout_rates(model)), draws(5), respond=False)


def uniforms(*shape: int) -> Tensor:
    """What the masks of the first pass through `tuned` are made of."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@given(torch_seeds, st.integers(1, 4), st.lists(st.integers(1, 3), max_size=2))
def test_each_example_is_dropped_at_its_own_rate(seed: int, n: int, rest: list[int]) -> None:
    torch.manual_seed(seed)
    net, x = tuned(nn.Dropout(0.5)), torch.rand(n, *rest, dtype=torch.float64)
    p, u = torch.rand(n, dtype=torch.float64) * 0.94 + 0.005, uniforms(n, *rest)
    with net.through(Pass(torch.logit(p / 0.95)[:, None], None, n)):
        y = net.model(x)
    close(y, torch.stack([x_i * (u_i >= p_i).double() / (1 - p_i) for x_i, u_i, p_i in zip(x, u, p, strict=True)]))


def test_a_rate_of_one_drops_everything_as_in_pytorch() -> None:
    assert torch.equal(mask(torch.ones(()), torch.rand(5)), F.dropout(torch.ones(5), 1.0))


def test_a_tangent_is_masked_like_its_primal() -> None:
    net, x = tuned(nn.Dropout(0.5)), torch.rand(2, 3, 4, dtype=torch.float64)
    with forward_ad.dual_level(), net.through(Pass(LAM, None, 3)):
        y, dy = forward_ad.unpack_dual(net.model(forward_ad.make_dual(x[0], x[1])))
    drops = (uniforms(3, 4) >= RATES[:, None]) / (1 - RATES[:, None])
    close(y, x[0] * drops)
    close(dy, x[1] * drops)


@pytest.mark.parametrize(
    ("module", "shape", "together"),
    [
        (nn.Dropout(0.5), (30, 4, 5), ()),
        (nn.Dropout1d(0.5), (30, 4, 5), (2,)),
        (nn.Dropout2d(0.5), (30, 4, 5, 5), (2, 3)),
        (nn.Dropout3d(0.5), (30, 4, 2, 2, 2), (2, 3, 4)),
    ],
)
def test_channels_are_dropped_whole_and_pixels_one_by_one(
    module: nn.Module, shape: tuple[int, ...], together: tuple[int, ...]
) -> None:
    net = tuned(module)
    with net.through(net.hyper.centre(30)):
        y = net.model(torch.ones(shape, dtype=torch.float64)) > 0
    if together:
        assert torch.equal(y.any(together[0], keepdim=True).expand(shape), y)
        y = y.flatten(2)[..., 0]
    assert 0.3 < y.double().mean() < 0.7
    assert len({tuple(row.flatten().tolist()) for row in y}) > 3


def test_alpha_dropout_is_pytorchs_at_each_examples_rate() -> None:
    """a x + b where it stays and a (-α') + b where it goes, as torch writes it (self-normalising networks)."""
    net, x = tuned(nn.AlphaDropout(0.5)), torch.randn(3, 5, dtype=torch.float64)
    with net.through(Pass(LAM, None, 3)):
        y = net.model(x)
    alpha, p = 1.7580993408473766, RATES[:, None]
    a = 1 / ((1 - p) * (1 + p * alpha**2)).sqrt()
    b = a * p * alpha
    close(y, torch.where(uniforms(3, 5) >= p, a * x + b, b - a * alpha))


class Path(nn.Module):
    """Drops whole examples, in the words of timm (0), of torchvision (1), and of transformers (2)."""

    def __init__(self, drop_prob: float, kind: int) -> None:
        super().__init__()
        self.drop_prob, self.kind = drop_prob, kind

    def forward(self, x: Tensor) -> Tensor:
        keep = 1 - self.drop_prob
        if self.drop_prob == 0.0 or not self.training:
            return x
        if self.kind == 2:
            return x.div(keep) * (keep + torch.rand(len(x), *[1] * (x.ndim - 1), dtype=x.dtype)).floor_()
        noise = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(keep)
        return x * noise.div_(keep) if self.kind == 1 or keep > 0.0 else x


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_whole_examples_are_dropped_at_their_own_rates(kind: int) -> None:
    """Of 10,000 examples at each of two rates; what stays is divided by 1 - p."""
    net, n = tuned(Path(0.2, kind)), 10_000
    rates = torch.tensor([0.1, 0.6], dtype=torch.float64).repeat_interleave(n)
    with net.through(Pass(torch.logit(rates / 0.95)[:, None], None, 2 * n)):
        y = net.model(torch.ones(2 * n, 3, dtype=torch.float64))
    assert torch.equal(y[:, 0], y[:, 2])
    stays = y[:, 0] != 0
    close(y[stays, 0], (1 / (1 - rates))[stays])
    dropped = (~stays).double().reshape(2, n).mean(1)
    assert ((dropped - rates[::n]).abs() < 6 * (rates[::n] * (1 - rates[::n]) / n).sqrt()).all()


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_the_rate_of_whole_examples_is_seen_to_be_read(kind: int) -> None:
    model, x = nn.Sequential(Path(0.2, kind), nn.Linear(3, 1)), torch.randn(4, 3)
    assert [rate.name for rate in dropout_rates(model, x)] == ["0"]
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), half_square)
    tuner.look(x)
    assert tuner.hyper.names == ("0",)


def test_a_dropout_that_sees_the_rows_of_some_examples_has_one_rate_a_batch() -> None:
    class Expert(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.out = nn.Dropout(0.2), nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(x.index_add(0, torch.arange(1, len(x)), self.drop(x[1:])))

    model, x = Expert(), torch.randn(4, 3)
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), half_square)
    assert tuner.inner_step(x, torch.zeros(4, 1)).loss.isfinite()
    assert [declared.per for declared in tuner.hyper.declared] == ["batch"]


class Reads(nn.Module):
    """Functions that drop, at an attribute of the module."""

    def __init__(self, call: Callable[[Tensor, float, bool], Tensor]) -> None:
        super().__init__()
        self.call, self.p = call, 0.4

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x, self.p, self.training)


def attended(x: Tensor, p: float, training: bool) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, dropout_p=p if training else 0.0)


def converted(x: Tensor, p: float, training: bool) -> Tensor:
    return F.dropout(x, float(p), training)


@pytest.mark.parametrize("call", [F.dropout, attended, converted], ids=["dropout", "attention", "float"])
def test_functions_that_drop_read_the_tuned_rate(call: Callable[[Tensor, float, bool], Tensor]) -> None:
    """Against the same function written out at the rate of the pass, with the same uniforms."""
    net, x = tuned(Reads(call)), torch.randn(3, 4, 2, dtype=torch.float64)
    assert list(net.rates) == ["0"]
    with net.through(Pass(LAM, None, 3)):
        y = net.model(x)
    u, p = uniforms(3, 4, 4 if call is attended else 2), RATES[:, None, None]
    drops = (u >= p) / (1 - p)
    close(y, ((x @ x.mT / 2**0.5).softmax(-1) * drops) @ x if call is attended else x * drops)


def test_dropout_between_the_layers_of_an_lstm_is_tuned() -> None:
    """Two one-layer LSTMs of the same weights, with a mask between them."""
    torch.manual_seed(0)
    lstm = nn.LSTM(2, 3, 2, dropout=0.3, batch_first=True)
    net, x = tuned(lstm), torch.randn(3, 4, 2, dtype=torch.float64)
    with net.through(Pass(LAM, None, 3)):
        y = net.model(x)[0]
    first, second = nn.LSTM(2, 3, batch_first=True).double(), nn.LSTM(3, 3, batch_first=True).double()
    for k, part in enumerate((first, second)):
        part.load_state_dict({name: getattr(lstm, name.replace("l0", f"l{k}")) for name in part.state_dict()})
    drops = (uniforms(3, 4, 3) >= RATES[:, None, None]) / (1 - RATES[:, None, None])
    close(y, second(first(x)[0] * drops)[0])


def test_the_rate_is_that_of_the_pass_under_way() -> None:
    """Means of 10,000 Bernoulli variables within six standard errors."""
    net, x = tuned(nn.Dropout(0.2)), torch.ones(3, 10_000, dtype=torch.float64)
    with net.through(Pass(LAM, None, 3)):
        dropped = (net.model(x) == 0).double().mean(1)
    assert ((dropped - RATES).abs() < 6 * (RATES * (1 - RATES) / 10_000).sqrt()).all()


def test_evaluation_drops_nothing_and_detaching_leaves_the_tuned_rate() -> None:
    net = tuned(nn.Dropout(0.2), nn.Linear(2, 2))
    x = torch.ones(4, 2, dtype=torch.float64)
    with torch.no_grad():
        net.hyper.lam.fill_(1.0)
    with net.through(net.hyper.centre(4)):
        assert torch.equal(net.model.eval()[0](x), x)  # type: ignore[operator]
    plain = net.detach()
    assert type(plain[0].p) is float  # type: ignore[operator]
    assert plain[0].p == pytest.approx(0.95 / (1 + 2.718281828459045**-1))  # type: ignore[operator]


def test_a_copy_of_the_model_is_apart_from_it_and_can_be_saved_and_tuned() -> None:
    net = tuned(nn.Linear(2, 2), nn.Dropout(0.5))
    twin = copy.deepcopy(net.model)
    torch.save(net.model, io.BytesIO())
    Hypernetwork(twin, Hyperparameters(dropout_rates(twin)), draws(5), respond=False)


def test_a_model_called_by_keyword() -> None:
    net = tuned(nn.Dropout(0.5))
    with net.through(net.hyper.centre(2)):
        assert net.model[0](input=torch.ones(2, 2)).shape == (2, 2)  # type: ignore[operator]


def test_one_mask_for_all_examples_wants_one_rate() -> None:
    """Also where it has as many rows as there are examples: that is seen by running on another number of them."""
    model = nn.Sequential(nn.Linear(2, 3), Connected(WeightDropout(0.5)))
    hyper = Hyperparameters([Hyperparameter("1.drop", start=0.5, high=0.95)])
    tuner = Tuner(model, hyper, half_square)
    with pytest.raises(UserError, match=r"'1.drop' has one mask for all.*per='batch'"):
        tuner.inner_step(torch.ones(3, 2), torch.ones(3, 3))
    tuner.detach()
    once = Hyperparameters([Hyperparameter("1.drop", start=0.5, high=0.95, per="batch")])
    assert Tuner(model, once, half_square).inner_step(torch.ones(3, 2), torch.ones(3, 3)).loss.isfinite()


class Connected(nn.Module):
    """DropConnect on a square weight, as long as the batch."""

    def __init__(self, drop: nn.Module) -> None:
        super().__init__()
        self.weight, self.drop = nn.Parameter(torch.eye(3)), drop

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.weight * self.drop(torch.ones_like(self.weight)))


def test_variational_dropout_has_one_mask_for_all_steps() -> None:
    net = tuned(VariationalDropout(0.5))
    with net.through(net.hyper.centre(20)):
        y = net.model(torch.ones(20, 6, 3, dtype=torch.float64))
    assert torch.equal(y, y[:, :1].expand(20, 6, 3))
    assert 0 in y


def test_a_rate_at_a_bound_is_one_line_and_a_rate_of_0_is_left_out_or_started() -> None:
    with pytest.raises(UserError, match=r"'0'.* 0.96 is not strictly between 0 and 0.95; set it to a start inside"):
        dropout_rates(nn.Sequential(nn.Dropout(0.96)))
    assert dropout_rates(nn.Sequential(nn.Dropout(0.96)), high=0.99)[0].start == 0.96
    model = nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.2), nn.Dropout(0))
    assert [rate.name for rate in dropout_rates(model)] == ["1"]
    assert [(rate.name, rate.start) for rate in dropout_rates(model, start={"0": 0.1})] == [("0", 0.1), ("1", 0.2)]
    assert len(dropout_rates(model, start=0.1)) == 3


@pytest.mark.parametrize(("low", "high"), [(0.0, float("inf")), (-0.1, 0.9), (0.0, 1.5)])
def test_a_rate_declared_beyond_0_and_1_is_refused(low: float, high: float) -> None:
    hyper = Hyperparameters([Hyperparameter("0", start=0.5, low=low, high=high)])
    with pytest.raises(UserError, match=r"dropout '0': its rate is declared in .* give bounds within 0 and 1"):
        Hypernetwork(nn.Sequential(nn.Dropout(0.5)), hyper, draws(), respond=False)


SINGLE = [(nn.Dropout1d, (3, 4)), (nn.Dropout2d, (3, 4))]


@pytest.mark.parametrize(("kind", "shape"), SINGLE)
def test_channels_of_a_single_example_are_refused(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    """PyTorch takes (channels, length) for one example, whose channels it drops; here rows are examples."""
    net = tuned(kind(0.5))
    with net.through(net.hyper.centre(3)), pytest.raises(UserError, match=f"sees an input of {len(shape)} axes"):
        net.model(torch.ones(shape))


class Counts(nn.Module):
    """Makes a plain number of its rate, or never reads it."""

    def __init__(self, reads: bool) -> None:
        super().__init__()
        self.fc, self.drop_rate, self.reads = nn.Linear(2, 1), 0.5, reads

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(self.fc(x), self.drop_rate * 0.5) if self.reads else self.fc(x)


def step(model: nn.Module, hyper: Hyperparameters) -> Any:
    return Tuner(model, hyper, half_square, method=CENTERED_STN).inner_step(torch.ones(3, 2), torch.ones(3, 1))


def test_a_rate_that_is_not_tuned_truly_is_never_reported_as_tuned() -> None:
    """Made a number of, or declared and never read: an error; found by `dropout_rates` and never read: withdrawn."""
    with pytest.raises(UserError, match="the drop rate 'drop_rate' enters a calculation with plain numbers"):
        step(*(lambda m: (m, Hyperparameters(dropout_rates(m))))(Counts(True)))
    declared = Hyperparameters([Hyperparameter("drop_rate", start=0.5, high=0.95)])
    with pytest.raises(
        UserError, match="the drop rate 'drop_rate' is declared, and no operation of the first pass has"
    ):
        step(Counts(False), declared)
    both = nn.Sequential(nn.Dropout(0.2), Counts(False))
    hyper = Hyperparameters(dropout_rates(both))
    assert list(hyper.values()) == ["0", "1"]
    step(both, hyper)
    assert list(hyper.values()) == ["0"]
    assert len(hyper.lam) == 1
