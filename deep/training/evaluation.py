"""Passes that move nothing: means over all of a dataset, and whether a batch of one example could be normalised."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_leaves, tree_map

from deep.hyper.parallel import examples, summed
from deep.responses.contexts import evaluating
from deep.training.batches import Batches
from deep.training.loader import Loader
from deep.tuner import gradients
from deep.tuner.state import own_buffers, set_own_buffers
from deep.tuner.tuner import Tuner
from reference.console.command import UserError

Metric = Callable[[Any, Any], Tensor]


def scores(name: str, tuner: Tuner, batches: Batches | Loader, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """The validation loss as `NAME_loss`, and metrics, each a mean over a batch, likewise.

    A batch counts by its targets: a batch of text may have as many examples as another and fewer words. Buffers outside
    the state_dict, such as where a model's streams stand, are put back: the next outer step goes on from the last.
    """
    before = own_buffers(tuner.model)
    sums = [0.0] * (2 + len(metrics))
    for x, t in batches.sweep():
        loss, outputs = tuner.evaluate(x, t)
        values = [1.0, float(loss), *(_mean(key, metric(outputs, t)) for key, metric in metrics.items())]
        n = next((leaf.numel() for leaf in tree_leaves(t) if isinstance(leaf, Tensor)), examples(x))
        sums = [total + n * value for total, value in zip(sums, values, strict=True)]
    after = own_buffers(tuner.model)
    # A cache that has grown for a longer input stays: its module counts on it.
    set_own_buffers(tuner.model, {key: value for key, value in before.items() if after[key].shape == value.shape})
    every, *totals = summed(sums, tuner.device)
    return {f"{name}_{key}": total / every for key, total in zip(("loss", *metrics), totals, strict=True)}


def _mean(name: str, value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() != 1:
        problem = f"metric {name!r} returns a tensor of shape {tuple(value.shape)}, not one number"
        raise UserError(f"{problem}; let it return the mean over examples")
    return float(value)


def require_no_batch_of_one(tuner: Tuner, batches: Batches | Loader) -> None:
    """Refuse a last batch of one example where a BatchNorm in training would have one value of each channel.

    What it would have is seen in evaluation mode, where no pass moves anything.

    Raises:
        UserError: there is one.
    """
    norms = [module for module in tuner.model.modules() if isinstance(module, _BatchNorm) and module.training]
    if batches.last != 1 or not norms:
        return

    def hook(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            raise gradients.alone()

    handles = [module.register_forward_pre_hook(hook) for module in norms]
    x, t = tree_map(lambda leaf: leaf[:1] if isinstance(leaf, Tensor) and leaf.ndim else leaf, batches.first())
    try:
        with torch.no_grad(), evaluating(tuner.model):
            gradients.evaluate(tuner.net, tuner.validation, x, t, tuner.hyper.centre(1))
    finally:
        for handle in handles:
            handle.remove()
