"""Trains a model that Accelerate has prepared, in one process or under torchrun; the first saves what was moved."""

import sys

import accelerate
import torch
import torch.nn.functional as F
from accelerate.utils import DataLoaderConfiguration
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from deep.hyper.hyperparameters import Hyperparameters
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner


def main(path: str) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 3)).double()
    x = torch.randn(48, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    accelerator = accelerate.Accelerator(cpu=True, dataloader_config=DataLoaderConfiguration(split_batches=True))
    model, loader = accelerator.prepare(model, DataLoader(TensorDataset(x, torch.arange(48) % 3), 12))
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy, T_train=1)
    rows = 0
    for inputs, targets in loader:
        rows = len(inputs)
        tuner.inner_step(inputs, targets)
        tuner.outer_step(inputs, targets)
    moved = [*tuner.net.w0, *tuner.net.Theta, tuner.hyper.lam, tuner.hyper.raw_sigma]
    if accelerator.is_main_process:
        state = torch.cat([parameter.detach().flatten() for parameter in moved])
        torch.save({"state": state, "model": type(model).__name__, "rows": rows}, path)


if __name__ == "__main__":
    main(sys.argv[1])
