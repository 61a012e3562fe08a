"""What a step costs, in plain SGD steps of the same net: one process, steps interleaved, float32, medians.

python -m benchmarks.cost [mnist-mlp | fmnist-cnn] [rounds]
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD

from deep.dropout import dropout_rates
from deep.hyperparameters import Hyperparameters
from deep.tuner import Tuner
from reference.updates import METHODS


def mlp() -> nn.Module:
    """H.2.1's network."""
    layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(0.05)]
    for m_in, dropped in ((784, True), (1200, True), (1200, False)):
        layers += [nn.Linear(m_in, 1200), nn.ReLU(), *([nn.Dropout(0.05)] if dropped else [])]
    return nn.Sequential(*layers, nn.Linear(1200, 10))


def cnn() -> nn.Module:
    """H.2.2's network."""
    return nn.Sequential(
        nn.Dropout(0.05), nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.05),
        nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.05),
        nn.Flatten(), nn.Linear(1568, 1568), nn.ReLU(), nn.Dropout(0.05), nn.Linear(1568, 10),
    )  # fmt: skip


def steps(network: Callable[[], nn.Module]) -> dict[str, Callable[[], object]]:
    x, t = torch.rand(128, 1, 28, 28), torch.randint(10, (128,))
    model = network()
    optimiser = SGD(model.parameters(), lr=0.01, momentum=0.9)

    def plain() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(x), t).backward()
        optimiser.step()

    found: dict[str, Callable[[], object]] = {"plain": plain}
    for method in METHODS:
        other = network()
        tuner = Tuner(other, Hyperparameters(dropout_rates(other)), F.cross_entropy, method=method)
        found[f"{method.name} inner"] = partial(tuner.inner_step, x, t)
        found[f"{method.name} outer"] = partial(tuner.outer_step, x, t)
    return found


def main() -> None:
    name, rounds = [*sys.argv[1:], "mnist-mlp", "60"][:2] if len(sys.argv) < 3 else sys.argv[1:3]
    every = steps({"mnist-mlp": mlp, "fmnist-cnn": cnn}[name])
    seconds: dict[str, list[float]] = {one: [] for one in every}
    for _ in range(int(rounds)):
        for one, step in every.items():
            begin = time.perf_counter()
            step()
            seconds[one].append(time.perf_counter() - begin)
    unit = statistics.median(seconds["plain"])
    for one, times in seconds.items():
        print(f"{one:22s} {statistics.median(times) * 1e3:8.2f} ms {statistics.median(times) / unit:6.2f}")


if __name__ == "__main__":
    main()
