"""Hugging Face's Trainer with a Tuner in it: the optimizer, its schedule, logs and checkpoints are the Trainer's.

w0 moves by the Trainer's optimizer, as its arguments say; Θ, λ and σ by the Tuner's. Outer steps see eval_dataset.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer

from deep.hyper.hyperparameters import Hyperparameters
from deep.training.batches import Batch, pair
from deep.training.fit import report_coverage
from deep.training.loader import Loader
from deep.tuner.tuner import Tuner
from reference.console.command import UserError

FILE = "tuner.pt"


class TuningTrainer(Trainer):
    """A Trainer that tunes `hyper` as it trains.

    Args:
        hyper: what is tuned, such as `Hyperparameters(dropout_rates(model))`.
        tuning: further arguments of the `Tuner`, such as {"T_train": 1}. Its losses see the model's own loss and its
            outputs as a pair; without others they are that loss.

    After `train()` the plain model is `trainer.tuner.detach()`.

    Raises:
        UserError: there is nothing to validate on, or the arguments ask for what a Tuner cannot do.
    """

    tuner: Tuner

    def __init__(
        self, *args: Any, hyper: Hyperparameters, tuning: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.hyper, self.tuning = hyper, dict(tuning or {})
        self._group: list[Batch] = []
        method = self.tuning.get("method")
        for refused, problem in (
            (self.eval_dataset is None or isinstance(self.eval_dataset, dict), "outer steps need one eval_dataset"),
            (self.optimizer is not None, "optimizers=... are made before the Tuner; choose one by args.optim"),
            (self.args.fp16, "fp16 needs a GradScaler, which a Tuner does not take; choose bf16"),
            (self.args.n_gpu > 1, "DataParallel is not supported; start one process a GPU by torchrun"),
            (self.is_deepspeed_enabled or self.is_fsdp_enabled, "DeepSpeed and FSDP are not supported"),
            (self.args.torch_compile, "torch_compile is not supported; compile what tuner.detach() returns"),
            (method is not None and not method.centred, "this method keeps φ0 in the model; choose a centred one"),
        ):
            if refused:
                raise UserError(f"TuningTrainer: {problem}")

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer of w0, and with it the Tuner."""
        if self.optimizer is None:
            make, whole = super().create_optimizer, cast(nn.Module, self.model)
            options: dict[str, Any] = {"clip": self.args.max_grad_norm or None, "seed": self.args.seed} | self.tuning
            self.tuner = Tuner(
                whole, self.hyper, options.pop("train_loss", lambda outputs, t: outputs[0]), w0=lambda w0: make(),
                predict=lambda x: self.compute_loss(whole, dict(x), return_outputs=True), **options,
            )  # fmt: skip
            loader = self.get_eval_dataloader()
            plain = DataLoader(loader.dataset, batch_sampler=loader.batch_sampler, collate_fn=loader.collate_fn)
            self._valid = Loader(plain, self.args.device)
        return cast(torch.optim.Optimizer, self.optimizer)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """An inner step once its batches are together, and the outer steps due; the Trainer's own finds no gradient."""
        cast(nn.Module, self.model).train()
        self._group.append(pair(self._prepare_inputs(inputs)))
        if not self.accelerator.sync_gradients:
            return torch.zeros((), device=self.args.device)
        if not self.tuner.net.looked:
            self.tuner.look(self._group[0][0])
            report_coverage(self.tuner, progress=not self.args.disable_tqdm)
        seen, self._group = self.tuner.inner_step_over(self._group), []
        for _ in range(self.tuner.due()):
            self.tuner.outer_step_over(self._valid.group(self.tuner.outer_steps, 1))
        self._grad_norm = nn.utils.get_total_norm(seen.gradients)
        return seen.loss.to(self.args.device)

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        return self._grad_norm  # the Tuner has clipped

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """The hyperparameters beside the training loss."""
        super().log(logs | self.hyper.values() if "loss" in logs else logs, *args, **kwargs)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        state = {"tuner": self.tuner.state_dict(), "valid": self._valid.state_dict()}
        if self.args.should_save:
            torch.save(state, Path(output_dir) / FILE)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._restore(checkpoint)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        self._restore(self.state.best_model_checkpoint)

    def _restore(self, folder: str | None) -> None:
        path = Path(folder or "") / FILE
        if not path.is_file():
            raise UserError(
                f"{path} is not there: this checkpoint is of a Trainer without a Tuner; start from its weights"
            )
        state = torch.load(path, map_location=self.args.device, weights_only=True)
        self.tuner.load_state_dict(state["tuner"])
        self._valid.load_state_dict(state["valid"])
