"""An attached model says once that it trains outside its tuner's steps; copies are silent and can be attached."""

import copy
import gc
import io
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from reference.console.command import InputWarning
from reference.rule.updates import METHODS

X, T = torch.randn(6, 4), torch.arange(6) % 3


def attached(**options) -> Tuner:
    model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.3), nn.Linear(5, 3))
    return Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy, T_train=1, **options)


@pytest.mark.parametrize("method", [*METHODS, None], ids=lambda method: method.name if method else "plain")
def test_the_tuners_own_passes_are_silent(method):
    tuner = attached(method=method)
    tuner.look(X)
    tuner.inner_step(X, T)
    if method is not None:
        tuner.outer_step(X, T)
    tuner.evaluate(X, T)


def test_training_outside_is_a_warning_once_and_other_uses_are_none():
    tuner = attached()
    with torch.no_grad():
        tuner.model(X)
    tuner.model.eval()(X)
    tuner.model.train()
    with pytest.warns(InputWarning, match="outside the Tuner's steps, where nothing is tuned; train it by"):
        tuner.model(X)
    tuner.model(X)
    tuner.inner_step(X, T)


def test_a_detached_model_is_silent_and_has_no_hook_left():
    tuner = attached()
    model = tuner.detach()
    assert not model._forward_pre_hooks
    model(X)


def test_copies_of_an_attached_model_train_alone_and_can_be_attached():
    tuner = attached()
    tuner.inner_step(X, T)
    file = io.BytesIO()
    torch.save(tuner.model, file)
    copies = [copy.deepcopy(tuner.model), torch.load(io.BytesIO(file.getvalue()), weights_only=False)]
    for model in copies:
        model(X).sum().backward()
        model.zero_grad()
        other = Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy)
        other.inner_step(X, T)
        with pytest.warns(InputWarning, match="nothing is tuned"):
            model(X)
        with warnings.catch_warnings():
            other.detach()(X)
    tuner.inner_step(X, T)


def test_a_model_whose_tuner_was_lost_can_be_attached_again():
    model = attached().model
    gc.collect()
    model(X)
    Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy).inner_step(X, T)
