"""Under pytest the annotations of `reference`, `toy` and `deep` are checked, one size for one name across arguments."""

import numpy as np
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation

from deep.hyper.hyperparameters import Pass
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import quadrature
from reference.rule.updates import State
from tests.strategies import no_type_checks
from toy.data.datasets import load
from toy.data.split import split

BROKEN = {
    "a vector with two axes": lambda: quadrature(np.ones((2, 2))),
    "another type": lambda: split(load("diabetes"), "0"),  # type: ignore[arg-type]
    "fields of two sizes": lambda: State(np.ones(2), np.ones(3), np.ones(4), FullResponse(np.ones((4, 2)))),
    "tensors of two sizes": lambda: Pass(torch.ones(1, 2), torch.ones(1, 3)),
}


@pytest.mark.parametrize("call", BROKEN.values(), ids=BROKEN)
def test_a_wrong_type_or_size_is_noticed(call):
    with pytest.raises(BeartypeCallHintViolation):
        call()


def test_within_no_type_checks_it_is_not():
    with no_type_checks():
        BROKEN["fields of two sizes"]()
    with pytest.raises(BeartypeCallHintViolation):
        BROKEN["fields of two sizes"]()
