"""Small runs with everything in them that a checkpoint must carry, for the tests of whole runs."""

from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer, RMSprop
from torch.optim.lr_scheduler import ReduceLROnPlateau, StepLR
from torch.utils.data import TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.training.batches import Batches
from deep.training.run import Row, Run
from deep.tuner.tuner import Tuner
from reference.rule.updates import DELTA_STN, Method

OPTIMISERS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "sgd": partial(SGD, lr=0.05, momentum=0.9),
    "rmsprop": partial(RMSprop, lr=0.01, momentum=0.5),
    "adam": partial(Adam, lr=0.01),
}


def data(n: int, seed: int) -> TensorDataset:
    """Rows of five features in three classes."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    return TensorDataset(x.to(torch.get_default_dtype()), x[:, :3].argmax(1))


class Net(nn.Sequential):
    """Two layers; `mask` is a dropout that is tuned, `own` one that is not and draws from torch's own generator."""

    def __init__(self, norm: bool = True, own: float = 0.1) -> None:
        super().__init__()
        self.first = nn.Linear(5, 6)
        if norm:
            self.norm = nn.BatchNorm1d(6)
        self.relu = nn.ReLU()
        self.mask = nn.Dropout(0.2)
        if own:
            self.own = nn.Dropout(own)
        self.last = nn.Linear(6, 3)


def tuner(
    method: Method | None = DELTA_STN, *, weights: str = "sgd", outer: str = "rmsprop", init: int = 0, **kwargs: Any
) -> Tuner:
    """A tuner of two dropout rates' worth of model and a weight decay; `init` seeds what torch itself draws."""
    net = {name: kwargs.pop(name) for name in ("norm", "own") if name in kwargs}
    torch.manual_seed(init)
    model = Net(**net)
    rates = [rate for rate in dropout_rates(model) if rate.name == "mask"]
    hyper = Hyperparameters([*rates, Hyperparameter("decay", start=1e-3)])

    def penalised(y: Tensor, t: Tensor) -> Tensor:
        return F.cross_entropy(y, t) + (hyper["decay"] * made.squared_norm()).mean()

    step, outer_step = OPTIMISERS[weights], OPTIMISERS[outer]
    options: dict[str, Any] = {"T_train": 2, "T_valid": 2, "seed": 3} | kwargs
    made = Tuner(
        model, hyper, penalised, F.cross_entropy, method=method, w0=step, Theta=step, lam=outer_step, sigma=outer_step,
        **options,
    )  # fmt: skip
    return made


def run(item: Tuner, folder: Path | None = None, *, seed: int = 0, size: int = 5, **kwargs: Any) -> Run:
    """Three epochs of four batches, the last of them smaller; with a checkpoint after every batch."""
    train, valid = (Batches(data(n, k), size, seed + k, device=item.device) for k, n in enumerate((17, 11)))
    often = {"checkpoint_seconds": 0.0, "progress": False}
    options: dict[str, Any] = {"train": train, "valid": valid, "epochs": 3, "folder": folder, **often, **kwargs}
    return Run(item, **options)


def schedulers(kind: str, item: Tuner) -> list[Any]:
    """A scheduler of w0's learning rate, or none."""
    if kind == "step":
        return [StepLR(item.optimisers["w0"], 2, gamma=0.5)]
    return (
        [ReduceLROnPlateau(item.optimisers["w0"], patience=0, factor=0.3, threshold=0.9)] if kind == "plateau" else []
    )


def timeless(rows: list[Row]) -> list[str]:
    """Rows without their seconds; as text, so that nan is nan."""
    return [repr({name: value for name, value in row.items() if name != "seconds"}) for row in rows]


class Killed(BaseException):
    """Like a kill: nothing catches it, and nothing of the process is used afterwards."""


@contextmanager
def killed_at(call: int, owner: Any, name: str, error: type[BaseException] = Killed):
    """`owner.name` raises at the given call of it inside the block; the block then ends, as a process would."""
    real, calls = getattr(owner, name), 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return real(*args, **kwargs)

    setattr(owner, name, counted)
    try:
        yield
    except error:
        pass
    finally:
        setattr(owner, name, real)


def history(folder: Path) -> list[list[str]]:
    """history.csv without its seconds, which are the last column."""
    return [line.split(",")[:-1] for line in (folder / "history.csv").read_text().splitlines()]
