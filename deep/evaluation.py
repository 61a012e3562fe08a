"""Means over all of a dataset, at the current weights."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from deep.batches import Batches
from deep.hyper.parallel import examples, summed
from deep.tuner.state import own_buffers, set_own_buffers
from deep.tuner.tuner import Tuner

Metric = Callable[[Any, Any], Tensor]


def scores(name: str, tuner: Tuner, batches: Batches, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """The validation loss as `NAME_loss`, and metrics, each a mean over a batch, likewise.

    A batch counts by its targets: a batch of text may have as many examples as another and fewer words. Buffers outside
    the state_dict, such as where a model's streams stand, are put back: the next outer step goes on from the last.
    """
    before = own_buffers(tuner.model)
    sums = [0.0] * (2 + len(metrics))
    for x, t in batches.epoch(0):
        loss, outputs = tuner.evaluate(x, t)
        values = [1.0, float(loss), *(float(metric(outputs, t)) for metric in metrics.values())]
        n = next((leaf.numel() for leaf in tree_leaves(t) if isinstance(leaf, Tensor)), examples(x))
        sums = [total + n * value for total, value in zip(sums, values, strict=True)]
    after = own_buffers(tuner.model)
    # A cache that has grown for a longer input stays: its module counts on it.
    set_own_buffers(tuner.model, {name: one for name, one in before.items() if after[name].shape == one.shape})
    every, *totals = summed(sums, tuner.device)
    return {f"{name}_{what}": total / every for what, total in zip(("loss", *metrics), totals, strict=True)}
