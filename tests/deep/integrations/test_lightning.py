"""A LightningModule that tunes: checkpoints are written and restored, and Lightning counts the Tuner's steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from reference.console.command import InputWarning, UserError
from tests.deep.integrations.small import Tokens, bert, foreign

L = pytest.importorskip("lightning", reason="needs '.[integrations]'")

pytestmark = [*foreign, pytest.mark.usefixtures("no_types_checked")]


def module(**options: Any):
    from deep.integrations.lightning import TuningModule

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    hyper = Hyperparameters(dropout_rates(model))
    metrics = {"hit": lambda y, t: (y.argmax(1) == t).float().mean()}
    return TuningModule(model, hyper, F.cross_entropy, metrics=metrics, **{"T_train": 1, **options})


def rows(start: int, stop: int) -> TensorDataset:
    x = torch.randn(96, 8, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x[start:stop], torch.arange(start, stop) % 3)


def trainer(folder: Path, *callbacks: Any, **options: Any):
    quiet: dict[str, Any] = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return L.Trainer(default_root_dir=folder, accelerator="cpu", callbacks=[*callbacks], **{**quiet, **options})


def fitted(folder: Path, checkpoint: Path | None = None, **options: Any):
    """A module trained on four batches an epoch, its Trainer, and the checkpoints."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    first, every = module(), ModelCheckpoint(folder, filename="{step}", save_top_k=-1)
    running = trainer(folder, every, **{"max_epochs": 3, **options})
    valid = DataLoader(rows(64, 96), 6, shuffle=True, generator=torch.Generator().manual_seed(2))
    running.fit(first, DataLoader(rows(0, 64), 16), valid, ckpt_path=checkpoint)
    return first, running, sorted(folder.glob("*.ckpt"))


def test_checkpoints_are_written_and_steps_are_counted(tmp_path):
    first, running, checkpoints = fitted(tmp_path)
    assert [path.name for path in checkpoints] == ["step=12.ckpt", "step=4.ckpt", "step=8.ckpt"]
    assert (running.global_step, first.tuner.inner_steps, first.tuner.outer_steps) == (12, 12, 12)
    logged = running.callback_metrics
    assert float(logged["2"]) == pytest.approx(first.tuner.hyper.values()["2"])
    x, t = rows(64, 96).tensors
    assert float(logged["valid_loss"]) == pytest.approx(float(first.tuner.evaluate(x, t)[0]), rel=1e-5)
    assert 0 <= float(logged["valid_hit"]) <= 1
    assert first.tuner.detach().get_submodule("2").p == pytest.approx(float(logged["2"]))


@pytest.mark.parametrize("name", ["step=4.ckpt", "step=8.ckpt"])
def test_it_goes_on_from_a_checkpoint_with_the_same_numbers(tmp_path, name):
    straight, _, _ = fitted(tmp_path / "straight")
    other, running, _ = fitted(tmp_path / "other", tmp_path / "straight" / name)
    assert running.global_step == other.tuner.inner_steps == 12
    assert other.tuner.hyper.values() == straight.tuner.hyper.values()
    for ours, theirs in zip(other.state_dict().values(), straight.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_max_steps_ends_a_run(tmp_path):
    first, running, _ = fitted(tmp_path, max_epochs=-1, max_steps=6)
    assert running.global_step == first.tuner.inner_steps == 6


def test_dictionaries_and_a_models_own_loss(tmp_path):
    from deep.integrations.lightning import TuningModule

    model = bert()
    subject = TuningModule(
        model, Hyperparameters(dropout_rates(model)), lambda outputs, labels: outputs.loss, T_train=1
    )
    trainer(tmp_path, max_epochs=1).fit(subject, DataLoader(Tokens(16, 0), 4), DataLoader(Tokens(8, 1), 4))
    assert (subject.tuner.inner_steps, subject.tuner.outer_steps) == (4, 4)


def test_bfloat16_is_lightnings_and_float16_is_refused(tmp_path):
    seen = []
    loaders = DataLoader(rows(0, 64), 16), DataLoader(rows(64, 96), 16)
    subject = module(predict=lambda x: seen.append((y := subject.model(x)).dtype) or y)
    trainer(tmp_path, max_epochs=1, precision="bf16-mixed").fit(subject, *loaders)
    assert set(seen) == {torch.bfloat16}
    with pytest.raises(UserError, match=r"^float16 needs a GradScaler[^\n]*bf16-mixed'$"):
        trainer(tmp_path, max_epochs=1, precision="16-true").fit(module(), *loaders)


def test_without_a_validation_loader_it_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"outer steps need one validation DataLoader; give it to trainer.fit"):
        trainer(tmp_path, max_epochs=1).fit(module(), DataLoader(rows(0, 64), 16))


def test_a_module_of_ones_own_that_trains_an_attached_model_says_that_nothing_is_tuned(tmp_path):
    from deep.tuner.tuner import Tuner

    class Stock(L.LightningModule):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch, index):
            return F.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.model.parameters(), lr=0.1)

    model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.3), nn.Linear(16, 3))
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy)
    with pytest.warns(InputWarning, match="nothing is tuned"):
        trainer(tmp_path, max_epochs=1).fit(Stock(model), DataLoader(rows(0, 64), 16))
    tuner.detach()
