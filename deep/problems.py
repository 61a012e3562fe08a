"""What an experiment trains: a model, its hyperparameters, losses, and batches of training, validation and test.

name          meaning
hyper         λ and σ, with the values they start from
train_loss    penalties included
valid_loss    what validation and test report
batches       training, validation, test
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from deep.training.batches import Batches
from deep.hyper.draws import Draws
from deep.training.evaluation import Metric
from deep.hyper.hyperparameters import Hyperparameters


@dataclass(frozen=True)
class Problem:
    """Everything that does not depend on the method."""

    model: nn.Module
    hyper: Hyperparameters
    train_loss: Callable[[Any, Any], Tensor]
    valid_loss: Callable[[Any, Any], Tensor]
    train: Batches
    valid: Batches
    test: Batches
    predict: Callable[[Any], Any] | None = None
    augment: Callable[[Any, Draws], Any] | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """What makes the same experiment larger or smaller.

    Args:
        data: which set, where it is not the experiment's own.
        rows: of the training part, validation included; all without it.
        test_rows: of the test part.
        width: of every layer, as a part of the paper's.
        batch: examples in a batch.
        stream: words in a row of a batch of text.
    """

    epochs: int
    warm_up: int = 5
    data: str | None = None
    rows: int | None = None
    test_rows: int | None = None
    width: float = 1.0
    batch: int = 128
    stream: int = 70


def accuracy(outputs: Tensor, t: Tensor) -> Tensor:
    """The part of the examples whose class has the largest output."""
    return (outputs.argmax(dim=-1) == t).float().mean()
