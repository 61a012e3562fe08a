"""Dropout with a rate for each example: masks, what is dropped together, tangents, and copies of a model."""

import copy
import io

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from deep.declared import Hyperparameter
from deep.dropout import WeightDropout, drop, dropout_rates
from deep.hypernet import Hypernetwork
from deep.hyperparameters import Hyperparameters, Pass
from reference.command import UserError
from tests.deep.strategies import close, draws, torch_seeds


def tuned(*modules: nn.Module) -> Hypernetwork:
    model = nn.Sequential(*modules).double()
    return Hypernetwork(model, Hyperparameters(dropout_rates(model)), draws(5), respond=False)


@given(torch_seeds, st.integers(1, 4), st.lists(st.integers(1, 3), max_size=2))
def test_each_example_is_dropped_at_its_own_rate(seed: int, n: int, rest: list[int]) -> None:
    torch.manual_seed(seed)
    x, u, p = (torch.rand(*shape, dtype=torch.float64) for shape in ((n, *rest), (n, *rest), (n,)))
    wanted = [x_i * (u_i >= p_i).double() / (1 - p_i) for x_i, u_i, p_i in zip(x, u, p, strict=True)]
    close(drop(x, p, u), torch.stack(wanted))


def test_a_dropout_that_drops_in_a_way_of_its_own_is_not_taken_for_one_of_single_numbers() -> None:
    class Rows(nn.Dropout):
        def forward(self, input: Tensor) -> Tensor:
            return input * nn.functional.dropout(input.new_ones(len(input), 1), self.p, self.training)

    with pytest.raises(UserError, match="dropout '0': a Rows has a forward of its own"):
        tuned(Rows(0.5))
    Rows.mask_shape = lambda self, x: (len(x), 1)  # type: ignore[attr-defined]
    tuned(Rows(0.5))


@given(torch_seeds)
def test_a_tangent_is_masked_like_its_primal(seed: int) -> None:
    torch.manual_seed(seed)
    x, dx, u = torch.rand(3, 2, 4, dtype=torch.float64).unbind(1)[0], torch.rand(3, 4).double(), torch.rand(3, 4)
    with forward_ad.dual_level():
        _, found = forward_ad.unpack_dual(drop(forward_ad.make_dual(x, dx), torch.tensor([0.1, 0.5, 0.8]), u))
    close(found, drop(dx, torch.tensor([0.1, 0.5, 0.8]), u))


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
    y = net.model(torch.ones(shape, dtype=torch.float64)) > 0
    if together:
        assert torch.equal(y.any(together[0], keepdim=True).expand(shape), y)
        y = y.flatten(2)[..., 0]
    assert 0.3 < y.double().mean() < 0.7
    assert len({tuple(row.flatten().tolist()) for row in y}) > 3


def test_the_rate_is_that_of_the_pass_under_way() -> None:
    """Means of 10,000 Bernoulli variables within six standard errors."""
    net = tuned(nn.Dropout(0.2))
    x = torch.ones(3, 10_000, dtype=torch.float64)
    rates = torch.tensor([0.1, 0.5, 0.7], dtype=torch.float64)
    lam = torch.logit(rates / 0.95)[:, None]
    with net.hyper.at(Pass(lam, None, 3)):
        dropped = (net.model(x) == 0).double().mean(1)
    assert ((dropped - rates).abs() < 6 * (rates * (1 - rates) / 10_000).sqrt()).all()


def test_evaluation_drops_nothing_and_detaching_leaves_the_tuned_rate() -> None:
    net = tuned(nn.Dropout(0.2), nn.Linear(2, 2))
    x = torch.ones(4, 2, dtype=torch.float64)
    with torch.no_grad():
        net.hyper.lam.fill_(1.0)
    assert torch.equal(net.model.eval()[0](x), x)  # type: ignore[operator]
    plain = net.detach()
    assert "forward" not in vars(plain[0])  # type: ignore[operator]
    assert plain[0].p == pytest.approx(0.95 / (1 + 2.718281828459045**-1))  # type: ignore[operator]


def test_a_copy_of_the_model_follows_its_own_mode() -> None:
    """As an average of weights keeps one: evaluating the copy drops nothing while the model trains; it can be saved."""
    net = tuned(nn.Dropout(0.5))
    x, twin = torch.ones(4, 50, dtype=torch.float64), copy.deepcopy(net.model).eval()
    assert torch.equal(twin(x), x)
    assert not torch.equal(net.model(x), x)
    torch.save(net.model, io.BytesIO())


def test_a_model_called_by_keyword() -> None:
    net = tuned(nn.Dropout(0.5))
    assert net.model[0](input=torch.ones(2, 2)).shape == (2, 2)  # type: ignore[operator]


def test_rows_that_are_no_examples_are_refused() -> None:
    net = tuned(nn.Flatten(0, 1), nn.Dropout(0.5))
    with net.hyper.at(net.hyper.centre(3)), pytest.raises(UserError, match="'1' sees 6 rows in a batch of 3"):
        net.model(torch.ones(3, 2, 2))


def test_one_mask_for_all_examples_wants_one_rate_though_it_has_as_many_rows() -> None:
    net = tuned(WeightDropout(0.5))
    with net.hyper.at(net.hyper.centre(3)), pytest.raises(UserError, match=r"'0' has one mask for all.*per='batch'"):
        net.model(torch.ones(3, 2, dtype=torch.float64))


def test_a_module_says_what_it_drops_together() -> None:
    class Steps(nn.Dropout):
        def mask_shape(self, x: Tensor) -> tuple[int, ...]:
            return (len(x), 1, x.shape[2])

    y = tuned(Steps(0.5)).model(torch.ones(20, 6, 3, dtype=torch.float64))
    assert torch.equal(y, y[:, :1].expand(20, 6, 3))
    assert 0 in y


def test_a_rate_at_a_bound_is_one_line() -> None:
    for rate in (0.0, 0.96):
        with pytest.raises(UserError, match=rf"'0'.* {rate} is not strictly between 0 and 0.95; set the module's p"):
            dropout_rates(nn.Sequential(nn.Dropout(rate)))
    assert dropout_rates(nn.Sequential(nn.Dropout(0.96)), high=0.99)[0].start == 0.96


@pytest.mark.parametrize(("low", "high"), [(0.0, float("inf")), (-0.1, 0.9), (0.0, 1.5)])
def test_a_rate_declared_beyond_0_and_1_is_refused(low: float, high: float) -> None:
    hyper = Hyperparameters([Hyperparameter("0", start=0.5, low=low, high=high)])
    with pytest.raises(UserError, match=r"dropout '0': its rate is declared in .* give bounds within 0 and 1"):
        Hypernetwork(nn.Sequential(nn.Dropout(0.5)), hyper, draws(), respond=False)


SINGLE = [(nn.Dropout1d, (3, 4)), (nn.Dropout2d, (3, 4)), (nn.Dropout3d, (2, 3, 4, 5))]


@pytest.mark.parametrize(("kind", "shape"), SINGLE)
def test_channels_of_a_single_example_are_refused(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    """PyTorch takes (channels, length) for one example, whose channels it drops; here rows are examples."""
    net = tuned(kind(0.5))
    with pytest.raises(UserError, match=f"a {kind.__name__} sees an input of {len(shape)} axes"):
        net.model(torch.ones(shape))
