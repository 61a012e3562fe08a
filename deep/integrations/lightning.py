"""A model and its Tuner as a LightningModule: `L.Trainer(...).fit(TuningModule(...), train_loader, valid_loader)`.

Each training batch is an inner step; outer steps see the validation loader's batches. Checkpoints hold the Tuner.
"""

from collections.abc import Mapping
from typing import Any

import lightning as L
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from deep.hyper.hyperparameters import Hyperparameters
from deep.hyper.parallel import examples
from deep.training.batches import pair
from deep.training.evaluation import Metric
from deep.training.fit import report_coverage
from deep.training.loader import Loader
from deep.tuner.tuner import Loss, Tuner
from reference.console.command import UserError


class TuningModule(L.LightningModule):
    """Trains `model` and tunes `hyper`; logs `train_loss`, `valid_loss`, metrics and each hyperparameter.

    Args:
        model, hyper, train_loss, valid_loss, tuning: of the `Tuner`, the last its further arguments by name.
        metrics: name -> mean over examples of outputs and targets, logged as `valid_NAME`.

    After `trainer.fit` the plain model is `module.tuner.detach()`.

    Raises:
        UserError: there is not one validation loader, or float16 is asked for.
    """

    tuner: Tuner

    def __init__(
        self,
        model: nn.Module,
        hyper: Hyperparameters,
        train_loss: Loss,
        valid_loss: Loss | None = None,
        *,
        metrics: Mapping[str, Metric] | None = None,
        **tuning: Any,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model, self.metrics = model, dict(metrics or {})
        self._arguments = (hyper, train_loss, valid_loss)
        self._tuning, self._saved, self._valid = tuning, None, None

    def configure_optimizers(self) -> Optimizer:
        """The Tuner's optimizer of w0; it is here that the model is where it is to run."""
        if self.trainer.precision in ("16-mixed", "16-true"):
            raise UserError("float16 needs a GradScaler, which a Tuner does not take; choose precision='bf16-mixed'")
        context = self.trainer.precision_plugin.forward_context
        self.tuner = Tuner(self.model, *self._arguments, **{"autocast": context, **self._tuning})
        return self.tuner.optimisers["w0"]

    def on_train_start(self) -> None:
        """Find the validation batches, and go on where a checkpoint is."""
        loader = self.trainer.val_dataloaders
        if not isinstance(loader, DataLoader):
            raise UserError("outer steps need one validation DataLoader; give it to trainer.fit")
        self._valid = Loader(loader, self.device)
        if self._saved is not None:
            self.tuner.load_state_dict(self._saved["tuner"])
            self._valid.load_state_dict(self._saved["valid"])

    def training_step(self, batch: Any, index: int) -> None:
        """An inner step, and the outer steps that follow it."""
        assert self._valid is not None
        x, t = pair(batch)
        if not self.tuner.net.looked:
            self.tuner.look(x)
            report_coverage(self.tuner, progress=False)
        seen = self.tuner.inner_step(x, t)
        # The Tuner has stepped: without gradients nothing moves, but Lightning counts global_step.
        self.optimizers().step()  # type: ignore[union-attr]
        for _ in range(self.tuner.due()):
            self.tuner.outer_step_over(self._valid.group(self.tuner.outer_steps, 1))
        self.log("train_loss", seen.loss, prog_bar=True, batch_size=examples(x))
        self.log_dict(self.tuner.hyper.values(), batch_size=examples(x))

    def validation_step(self, batch: Any, index: int) -> None:
        """The validation loss at the current weights, and metrics."""
        x, t = pair(batch)
        loss, outputs = self.tuner.evaluate(x, t)
        scores = {name: metric(outputs, t) for name, metric in self.metrics.items()}
        logged = {f"valid_{name}": score for name, score in {"loss": loss, **scores}.items()}
        self.log_dict(logged, prog_bar=True, batch_size=examples(x))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The model's outputs."""
        return self.model(*args, **kwargs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the Tuner into a checkpoint."""
        valid = None if self._valid is None else self._valid.state_dict()
        checkpoint["tuner"] = {"tuner": self.tuner.state_dict(), "valid": valid}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Hold the Tuner's state until there is one."""
        self._saved = checkpoint["tuner"]
