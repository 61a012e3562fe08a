"""A Trainer that tunes: the Trainer's counts, schedule, logs and checkpoints, and the Tuner's steps."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import default_collate

from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from reference.console.command import InputWarning, UserError
from reference.rule.updates import CENTERED_STN, STN
from tests.deep.integrations.small import Tokens, bert, foreign

pytest.importorskip("transformers", reason="needs '.[integrations]'")
pytest.importorskip("accelerate", reason="needs '.[integrations]'")

pytestmark = [*foreign, pytest.mark.usefixtures("no_types_checked")]


def arguments(folder: Path, **options: Any):
    from transformers import TrainingArguments

    quiet: dict[str, Any] = {"report_to": [], "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"}
    small = {"max_steps": 6, "per_device_train_batch_size": 4, "learning_rate": 1e-2}
    return TrainingArguments(str(folder), **{**quiet, **small, **options})


def trainer(folder: Path, tuning: dict[str, Any] | None = None, valid: Any = None, **options: Any):
    from deep.integrations.huggingface import TuningTrainer

    model = bert()
    return TuningTrainer(
        model, arguments(folder, **options), hyper=Hyperparameters(dropout_rates(model)),
        tuning={"T_train": 1, **(tuning or {})}, train_dataset=Tokens(18, 0), eval_dataset=valid or Tokens(10, 1),
    )  # fmt: skip


def weights(model) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in model.state_dict().values()])


def test_it_steps_logs_evaluates_and_hands_back_a_plain_model(tmp_path):
    subject = trainer(tmp_path, logging_steps=1, eval_strategy="steps", eval_steps=3)
    before = {**subject.hyper.values()}
    subject.train()
    assert (subject.tuner.inner_steps, subject.tuner.outer_steps, subject.state.global_step) == (6, 6, 6)
    assert subject.tuner.coverage().parameters == 1.0
    logs = [entry for entry in subject.state.log_history if "loss" in entry]
    assert [entry["learning_rate"] for entry in logs] == pytest.approx([1e-2 * (1 - k / 6) for k in range(6)])
    assert all(entry["grad_norm"] > 0 and before.keys() <= entry.keys() for entry in logs)
    assert logs[-1]["dropout"] == pytest.approx(subject.hyper.values()["dropout"], rel=1e-6)
    x = default_collate([Tokens(10, 1)[k] for k in range(10)])
    assert subject.evaluate()["eval_loss"] == pytest.approx(float(subject.tuner.evaluate(x, x)[0]), rel=1e-5)
    values = subject.hyper.values()
    model = subject.tuner.detach()
    assert values != before
    assert model.get_submodule("dropout").p == values["dropout"]


@pytest.mark.parametrize(("optim", "rate"), [("adamw_torch", 1e-2), ("sgd", 0.5)])
def test_w0_moves_as_in_a_stock_trainer_where_nothing_else_differs(tmp_path, optim, rate):
    """λ held, no dropout that draws, Centered STN: w0's steps are the optimizer's, scheduled and clipped as there."""
    from transformers import Trainer

    def still(model):
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 1e-12
        return model

    same_arguments = arguments(tmp_path, optim=optim, learning_rate=rate, max_grad_norm=0.1)
    stock = Trainer(still(bert()), same_arguments, train_dataset=Tokens(18, 0))
    stock.train()
    model = still(bert())
    from deep.integrations.huggingface import TuningTrainer

    hold = partial(torch.optim.SGD, lr=0.0)
    ours = TuningTrainer(
        model, same_arguments, hyper=Hyperparameters(dropout_rates(model)), train_dataset=Tokens(18, 0),
        eval_dataset=Tokens(10, 1), tuning={"method": CENTERED_STN, "lam": hold, "sigma": None},
    )  # fmt: skip
    ours.train()
    assert ours.state.log_history[-1]["train_loss"] == pytest.approx(
        stock.state.log_history[-1]["train_loss"], rel=1e-4
    )
    torch.testing.assert_close(weights(ours.model), weights(stock.model), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weights(stock.model), weights(bert()), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("step", [3, 6])
def test_it_goes_on_from_a_checkpoint_with_the_same_numbers(tmp_path, step):
    """In the first and in the second epoch; of the two evaluation batches step 3 has seen the first twice."""
    options = {"save_strategy": "steps", "save_steps": 3, "max_steps": 8}
    straight = trainer(tmp_path, **options)
    straight.train()
    other = trainer(tmp_path, **options)
    other.train(resume_from_checkpoint=str(tmp_path / f"checkpoint-{step}"))
    assert other.hyper.values() == straight.hyper.values()
    assert torch.equal(weights(other.model), weights(straight.model))
    assert other.tuner.inner_steps == 8


def test_a_checkpoint_without_a_tuner_is_refused(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 3}
    trainer(tmp_path, **options).train()
    (tmp_path / "checkpoint-3" / "tuner.pt").unlink()
    with pytest.raises(UserError, match=r"tuner.pt is not there: [^\n]*$"):
        trainer(tmp_path, **options).train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))


def test_the_best_model_comes_with_the_tuner_of_its_step(tmp_path):
    every = {"eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps", "save_steps": 2}
    subject = trainer(tmp_path, load_best_model_at_end=True, metric_for_best_model="dropout", **every)
    subject.compute_metrics = lambda _: {"dropout": subject.tuner.inner_steps == 2}  # the first is best
    subject.train()
    state = torch.load(tmp_path / "checkpoint-2" / "tuner.pt", weights_only=True)["tuner"]
    assert torch.equal(subject.hyper.lam, state["lam"])
    assert subject.tuner.inner_steps == 2


def test_accumulated_batches_are_one_step(tmp_path):
    """Dropout is tuned everywhere, so all masks are those of the larger batch."""

    def trained(**options: Any):
        subject = trainer(tmp_path, optim="sgd", **options)
        subject.model.double()  # type: ignore[union-attr]
        subject.train()
        assert (subject.tuner.inner_steps, subject.state.global_step) == (6, 6)
        return subject

    large, parts = trained(per_device_train_batch_size=8), trained(gradient_accumulation_steps=2)
    torch.testing.assert_close(weights(parts.model), weights(large.model), rtol=1e-9, atol=1e-11)
    assert parts.hyper.values() == pytest.approx(large.hyper.values(), rel=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fp16": True}, "fp16 needs a GradScaler"),
        ({"valid": {"a": Tokens(4, 1), "b": Tokens(4, 2)}}, "outer steps need one eval_dataset"),
        ({"tuning": {"method": STN}}, "choose a centred one"),
    ],
)
def test_what_it_cannot_do_is_one_line(tmp_path, options, message):
    with pytest.raises(UserError, match=rf"^TuningTrainer: [^\n]*{message}[^\n]*$"):
        trainer(tmp_path, **options)


def test_a_stock_trainer_on_an_attached_model_says_once_that_nothing_is_tuned(tmp_path):
    from transformers import Trainer

    model = bert()
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), lambda y, t: y.loss)
    with pytest.warns(InputWarning, match="outside the Tuner's steps, where nothing is tuned") as caught:
        Trainer(model, arguments(tmp_path), train_dataset=Tokens(18, 0)).train()
    assert len([each for each in caught if each.category is InputWarning]) == 1
    tuner.detach()
    Trainer(model, arguments(tmp_path), train_dataset=Tokens(18, 0)).train()  # a warning would be an error
