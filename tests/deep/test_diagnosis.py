"""A loss that is not finite is one line that says what first was not."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from deep.dropout import dropout_rates
from deep.hyperparameters import Hyperparameters
from deep.tuner import Tuner
from reference.command import UserError
from reference.updates import METHODS, Method
from tests.deep.strategies import half_square


def tuner(method: Method, loss: Callable[[Tensor, Tensor], Tensor] = half_square) -> Tuner:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1))
    return Tuner(model, Hyperparameters(dropout_rates(model)), loss, half_square, method=method)


def spoil(parameter: Tensor) -> None:
    parameter.detach().view(-1)[0] = math.nan


X, T = torch.tensor([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]]), torch.ones(3, 1)

FAULTS: list[tuple[Callable[[Tuner], object], Tensor, str]] = [
    (lambda one: spoil(one.net.w0[2]), X, "parameter '1.weight' is not finite"),
    (lambda one: spoil(next(b for name, b in one.net.named() if name == "3").of("bias").U), X, "response of layer '3'"),
    (lambda one: spoil(one.hyper.lam), X, "hyperparameter '2' is not finite"),
    (lambda one: spoil(one.hyper.raw_sigma), X, "hyperparameter '2' is not finite"),
    (lambda one: one.net.w0[0].detach().fill_(3e38), X, "layer '0' puts out numbers"),
    (lambda one: None, X / 0, "the inputs are not finite"),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize(("fault", "x", "message"), FAULTS)
def test_the_first_thing_that_is_not_finite_is_named(
    method: Method, fault: Callable[[Tuner], object], x: Tensor, message: str
) -> None:
    one = tuner(method)
    fault(one)
    with pytest.raises(UserError, match=f"after 0 inner steps: .*{message}.*; lower a learning rate") as caught:
        one.inner_step(x, T)
    assert "\n" not in str(caught.value)
    assert all(torch.isfinite(p).all() for p in one.net.w0) or "parameter" in message or "layer" in message


def test_a_loss_that_divides_by_zero_is_the_losses_own() -> None:
    with pytest.raises(UserError, match="in the loss function itself"):
        tuner(METHODS[0], lambda y, t: half_square(y, t) / 0).inner_step(X, T)


def test_looking_for_the_cause_moves_no_statistics() -> None:
    one = tuner(METHODS[-1], lambda y, t: half_square(y, t) / 0)
    with pytest.raises(UserError):
        one.inner_step(X, T)
    assert one.model[1].num_batches_tracked == 1  # type: ignore[operator]
