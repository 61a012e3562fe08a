"""An experiment of milliseconds whose validation loss is a known function of its hyperparameters, while it trains."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import RMSprop
from torch.utils.data import TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.paper.experiments import Experiment, Optimisation
from deep.paper.problems import Problem, Size
from deep.training.batches import Batches

RATE = Hyperparameter("rate", start=0.05, high=0.95)
HOLES = Hyperparameter("holes", start=1.0, high=4.0, discrete=True)


def bowl(rate: Any, holes: Any) -> Any:
    """Least at (0.3, 2)."""
    return (rate - 0.3) ** 2 + 0.1 * (holes - 2) ** 2


def build(
    size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device, worst: float = 1.0
) -> Problem:
    """A line through points of it, with a dropout that makes it random; not a number at rates above `worst`."""
    x = torch.linspace(-1, 1, 8)[:, None]
    train, valid = TensorDataset(x, 2 * x + 1), TensorDataset(x + 0.1, 2 * x + 1)
    model, hyper = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.1)), Hyperparameters([RATE, HOLES])

    def error(y: Tensor, t: Tensor) -> Tensor:
        return (y - t).square().mean()

    def train_loss(y: Tensor, t: Tensor) -> Tensor:
        """Of the hyperparameters it only reads: training is the same at all of them."""
        return error(y, t) + 0.0 * (hyper["rate"] + hyper["holes"]).mean()

    def valid_loss(y: Tensor, t: Tensor) -> Tensor:
        broken = torch.where(hyper["rate"] > worst, torch.nan, 0.0)
        return error(y, t) + (bowl(hyper["rate"], hyper["holes"]) + broken).mean()

    first, second, third = (Batches(part, 4, seed + k, device=device) for k, part in enumerate((train, valid, valid)))
    return Problem(model, hyper, train_loss, valid_loss, first, second, third)


def experiment(worst: float = 1.0, epochs: int = 2) -> Experiment:
    """With the preset `smoke` alone."""
    optimisation = Optimisation(lr=0.05, outer=partial(RMSprop, lr=0.01))
    return Experiment(
        "planted",
        "a test's",
        partial(build, worst=worst),
        optimisation,
        {"smoke": (Size(epochs=epochs, warm_up=0), "none")},
    )
