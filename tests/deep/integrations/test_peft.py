"""LoRA and a frozen backbone attach with no argument: what trains responds, and the rates are found."""

import pytest
import torch
from torch.utils.data import default_collate

from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.training.batches import pair
from deep.training.fit import fit
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.rule.updates import DELTA_STN, METHODS
from tests.deep.integrations.small import Tokens, bert, foreign

pytest.importorskip("transformers", reason="needs '.[integrations]'")

pytestmark = [*foreign, pytest.mark.usefixtures("no_types_checked")]


def adapted(seed: int = 0):
    """BERT with LoRA in its attention, and a head that trains."""
    peft = pytest.importorskip("peft", reason="needs '.[integrations]'")
    config = peft.LoraConfig(task_type="SEQ_CLS", r=2, lora_dropout=0.1, target_modules=["query", "value"])
    return peft.get_peft_model(bert(seed), config)


def frozen(seed: int = 0):
    """BERT whose encoder does not train."""
    model = bert(seed)
    for parameter in model.bert.parameters():
        parameter.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    "method", [*METHODS, DELTA_STN_CV, None], ids=lambda method: method.name if method else "plain"
)
@pytest.mark.parametrize("make", [adapted, frozen])
def test_it_attaches_with_no_argument_and_everything_that_trains_responds(make, method):
    model = make()
    still = {name: w.clone() for name, w in model.named_parameters() if not w.requires_grad}
    hyper = Hyperparameters(dropout_rates(model))
    tuner = Tuner(model, hyper, lambda outputs, t: outputs.loss, method=method, T_train=1)
    start = hyper.values()
    for k in range(3):
        x, t = pair(default_collate([Tokens(8, k)[row] for row in range(8)]))
        tuner.inner_step(x, t)
        if method is not None:
            tuner.outer_step(x, t)
    if method is not None:
        assert tuner.coverage().parameters == 1.0
        assert all(start[name] != value for name, value in hyper.values().items())
    assert all(torch.equal(w, still[name]) for name, w in model.named_parameters() if name in still)


def test_loras_own_rates_are_found():
    names = [rate.name for rate in dropout_rates(adapted())]
    assert sum("lora_dropout" in name for name in names) == 2
    assert any(name.endswith("attention.self.dropout") for name in names)


def test_fit_tunes_an_adapted_model():
    model = adapted()
    hyper = Hyperparameters(dropout_rates(model))
    tuner = Tuner(model, hyper, lambda outputs, t: outputs.loss, method=DELTA_STN, T_train=1)
    schedule = fit(tuner, Tokens(16, 0), Tokens(8, 1), 2, batch_size=4, progress=False)
    assert len(schedule.epochs) == 3
    plain = tuner.detach()
    lora = [name for name in hyper.names if "lora_dropout" in name]
    assert all(plain.get_submodule(name).p == hyper.values()[name] for name in lora)
