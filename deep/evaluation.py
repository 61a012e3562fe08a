"""Means over all of a dataset, at the current weights."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from deep.batches import Batches, examples
from deep.parallel import summed
from deep.tuner import Tuner

Metric = Callable[[Any, Any], Tensor]


def scores(name: str, tuner: Tuner, batches: Batches, metrics: Mapping[str, Metric]) -> dict[str, float]:
    """The validation loss as `NAME_loss`, and metrics, each a mean over the examples of a batch, likewise."""
    sums = [0.0] * (2 + len(metrics))
    for x, t in batches.epoch(0):
        loss, outputs = tuner.evaluate(x, t)
        values = [1.0, float(loss), *(float(metric(outputs, t)) for metric in metrics.values())]
        sums = [total + examples(x) * value for total, value in zip(sums, values, strict=True)]
    n, *totals = summed(sums, tuner.hyper.lam.device)
    return {f"{name}_{what}": total / n for what, total in zip(("loss", *metrics), totals, strict=True)}
