"""A loss that is not finite is one line that says what first was not."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.training.batches import Batches
from deep.training.run import Run
from deep.tuner.diagnosis import NotFinite
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.console.command import UserError
from reference.rule.updates import METHODS, Method
from tests.deep.strategies import half_square


def tuner(method: Method, loss: Callable[[Tensor, Tensor], Tensor] = half_square, **options: Any) -> Tuner:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.2), nn.Linear(3, 1))
    return Tuner(model, Hyperparameters(dropout_rates(model)), loss, half_square, method=method, **options)


def spoil(parameter: Tensor) -> None:
    parameter.detach().view(-1)[0] = math.nan


X, T = torch.tensor([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0]]), torch.ones(3, 1)

FAULTS: list[tuple[Callable[[Tuner], object], Tensor, str]] = [
    (lambda subject: spoil(subject.net.w0[2]), X, "parameter '1.weight' is not finite"),
    (
        lambda subject: spoil(next(r for name, _, r in subject.net if name == "3.bias").U),
        X,
        "response of parameter '3.bias'",
    ),
    (lambda subject: spoil(subject.hyper.lam), X, "hyperparameter '2' is not finite"),
    (lambda subject: spoil(subject.hyper.raw_sigma), X, "hyperparameter '2' is not finite"),
    (lambda subject: subject.net.w0[0].detach().fill_(3e38), X, "layer '0' puts out numbers"),
    (lambda subject: None, X / 0, "the inputs are not finite"),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize(("fault", "x", "message"), FAULTS)
def test_the_first_thing_that_is_not_finite_is_named(
    method: Method, fault: Callable[[Tuner], object], x: Tensor, message: str
) -> None:
    tuned = tuner(method)
    fault(tuned)
    with pytest.raises(UserError, match=f"after 0 inner steps: .*{message}.*; lower a learning rate") as caught:
        tuned.inner_step(x, T)
    assert "\n" not in str(caught.value)
    assert all(torch.isfinite(p).all() for p in tuned.net.w0) or "parameter" in message or "layer" in message


def test_a_loss_that_divides_by_zero_is_the_losses_own() -> None:
    with pytest.raises(UserError, match="in the loss function itself"):
        tuner(METHODS[0], lambda y, t: half_square(y, t) / 0).inner_step(X, T)


def test_what_a_lower_precision_alone_cannot_hold_is_looked_for_in_it() -> None:
    precision = [torch.bfloat16]  # a Tuner takes no autocast to float16, whose range alone is less
    tuned = tuner(METHODS[-1], autocast=lambda: torch.autocast("cpu", precision[0]))
    precision[0] = torch.float16
    tuned.net.w0[0].detach().fill_(3e4)
    with pytest.raises(UserError, match="layer '0' puts out numbers that are not finite"):
        tuned.inner_step(X, T)


def test_looking_for_the_cause_moves_no_statistics() -> None:
    tuned = tuner(METHODS[-1], lambda y, t: half_square(y, t) / 0)
    with pytest.raises(UserError):
        tuned.inner_step(X, T)
    assert tuned.model[1].num_batches_tracked == 1  # type: ignore[operator]


@pytest.mark.parametrize("method", [*METHODS, None], ids=lambda method: method.name if method else "plain")
def test_a_value_that_is_not_finite_at_lam_itself_is_named(method: Method | None) -> None:
    hyper = Hyperparameters([Hyperparameter("decay", start=1.0)])
    tuned = Tuner(
        nn.Linear(2, 1), hyper, lambda y, t: half_square(y, t) + hyper["decay"].mean(), half_square, method=method
    )
    hyper.lam.detach().fill_(100.0)
    with pytest.raises(NotFinite, match=r"steps: s\(λ\) of hyperparameter 'decay' is not finite; lower"):
        tuned.inner_step(X, T)


ROWS = torch.linspace(-1, 1, 40).reshape(20, 2)
PERTURBED = (*METHODS[1:], DELTA_STN_CV)
"""Those whose current weights do not have the response in them."""


def overflowing(item: Tuner) -> Tuner:
    """The first layer's response is finite, and too large for a product with ε."""
    for name, _, response in item.net:
        for parameter in response.parameters() if name.startswith("0.") else ():
            parameter.detach().fill_(1e30)
    return item


def said(step: Callable[[], object]) -> str:
    with pytest.raises(NotFinite) as caught:
        step()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("method", PERTURBED, ids=lambda method: method.name)
def test_a_layer_that_is_not_finite_at_perturbed_weights_alone_is_named(method: Method) -> None:
    for step in ("inner_step", "outer_step"):
        tuned = overflowing(tuner(method))
        there = said(lambda tuned=tuned, step=step: getattr(tuned, step)(ROWS, torch.ones(20, 1)))
        assert "steps: at perturbed weights layer '0' puts out numbers that are not finite; lower" in there


@pytest.mark.parametrize("method", [*METHODS, None], ids=lambda method: method.name if method else "noise")
def test_a_hyperparameter_that_is_not_finite_at_lam_and_eps_alone_is_named(method: Method | None) -> None:
    model = nn.Linear(2, 1)
    hyper = Hyperparameters([Hyperparameter("decay", start=1.0)], sigma=10.0)

    def penalised(y: Tensor, t: Tensor) -> Tensor:
        return half_square(y, t) + (1e-38 * hyper["decay"]).mean()

    tuned = Tuner(model, hyper, penalised, half_square, method=method, noise=method is None)
    hyper.lam.detach().fill_(85.0)  # exp(λ) is a float32 to 88.7
    there = said(lambda: tuned.inner_step(ROWS, torch.ones(20, 1)))
    assert "at perturbed weights s(λ + ε) of hyperparameter 'decay' is not finite; lower" in there


def test_what_evaluation_alone_meets_is_looked_for_in_evaluation_and_in_every_batch() -> None:
    """A running variance, and a row, that training does not see."""
    tuned = tuner(METHODS[2])
    tuned.model[1].running_var.fill_(math.nan)  # type: ignore[union-attr, operator]
    assert "layer '1' puts out" in said(lambda: tuned.outer_step(ROWS, torch.ones(20, 1)))
    valid = TensorDataset(torch.cat([ROWS, ROWS[:1] / 0]), torch.ones(21, 1))
    run = Run(tuner(METHODS[2]), Batches(TensorDataset(X, T), 3, 0), Batches(valid, 1, 1), progress=False)
    assert "the inputs are not finite" in said(run.run)
