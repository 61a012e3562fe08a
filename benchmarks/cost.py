"""What a step costs, in plain SGD steps of the same net: time (interleaved, medians) and peak memory (a process each).

    python -m benchmarks.cost mnist-mlp [--rounds 60]       H.2.1's, 128 images
    python -m benchmarks.cost fmnist-cnn                    H.2.2's, 128 images
    python -m benchmarks.cost cifar-resnet18                H.2.3's at half its width, 32 images
    python -m benchmarks.cost bert                          3 layers of 128, 32 texts of 64 tokens (needs transformers)

float32, momentum SGD; the plain net has PyTorch's own dropout, and every parameter of the other responds.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from tqdm import trange

from deep.hyper.hyperparameters import Hyperparameters
from deep.paper.networks import mlp, resnet18, simple_cnn
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.rule.updates import DELTA_STN, METHODS

MEASURED = (*METHODS, DELTA_STN_CV)
LIMITS = {"mnist-mlp": 2.75, "fmnist-cnn": 2.75, "cifar-resnet18": 3.0, "bert": 3.2}
"""Of Δ-STN's inner step."""

Step = Callable[[], object]
WEIGHTS = partial(SGD, lr=0.001, momentum=0.9)


def images(network: Callable[[Tensor], nn.Module], *shape: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Make the net, inputs and targets."""
    x = torch.rand(shape)
    return network(x), x, torch.randint(10, shape[:1])


def bert() -> tuple[nn.Module, Tensor, Tensor]:
    """Make the net, inputs and targets."""
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=2000, hidden_size=128, num_hidden_layers=3, num_attention_heads=4, intermediate_size=512
    )
    model = BertForSequenceClassification(config).train()
    return model, torch.randint(5, 2000, (32, 64)), torch.randint(2, (32,))


TASKS: Mapping[str, Callable[[], tuple[nn.Module, Tensor, Tensor]]] = {
    "mnist-mlp": partial(images, mlp, 128, 1, 28, 28),
    "fmnist-cnn": partial(images, simple_cnn, 128, 1, 28, 28),
    "cifar-resnet18": partial(images, partial(resnet18, width=0.5), 32, 3, 32, 32),
    "bert": bert,
}


def cross_entropy(outputs: Any, t: Tensor) -> Tensor:
    """The loss of logits, or of an output that holds them."""
    return F.cross_entropy(getattr(outputs, "logits", outputs), t)


def plain(task: str) -> Step:
    """A step of SGD as anyone writes it."""
    model, x, t = TASKS[task]()
    optimiser = WEIGHTS(model.parameters())

    def step() -> None:
        optimiser.zero_grad()
        cross_entropy(model(x), t).backward()
        optimiser.step()

    return step


def tuned(name: str, level: str, task: str) -> Step:
    """An inner or outer step of a method."""
    model, x, t = TASKS[task]()
    method = next(method for method in MEASURED if method.name == name)
    hyper = Hyperparameters(dropout_rates(model))
    tuner = Tuner(model, hyper, cross_entropy, method=method, w0=WEIGHTS, Theta=WEIGHTS)
    return partial(tuner.inner_step if level == "inner" else tuner.outer_step, x, t)


STEPS: Mapping[str, Callable[[str], Step]] = {
    "plain": plain,
    **{f"{m.name} {level}": partial(tuned, m.name, level) for m in MEASURED for level in ("inner", "outer")},
}


def times(task: str, rounds: int) -> dict[str, float]:
    """Median seconds of each kind of step, one of each in turn."""
    steps = {name: make(task) for name, make in STEPS.items()}
    for step in steps.values():
        step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in trange(rounds, unit="round"):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(samples) for name, samples in seconds.items()}


def peak(task: str, kind: str) -> int:
    """Kilobytes that a process grows by, at its peak, from before the network is made to after five steps (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _kilobytes("VmRSS")
    step = STEPS[kind](task)
    for _ in range(5):
        step()
    return _kilobytes("VmHWM") - before


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    seconds = times(options.task, options.rounds)
    context = multiprocessing.get_context("spawn")
    memory = {}
    for kind in STEPS:
        with context.Pool(1) as pool:
            memory[kind] = pool.apply(peak, (options.task, kind))
    print(f"| {options.task} | time | peak memory |\n|---|---|---|")
    for kind in STEPS:
        print(f"| {kind} | {seconds[kind] / seconds['plain']:.2f} | {memory[kind] / memory['plain']:.2f} |")
    print(f"a plain step: {1e3 * seconds['plain']:.1f} ms, {memory['plain'] / 1024:.0f} MiB")
    print(f"at most {LIMITS[options.task]} is wanted of {DELTA_STN.name}'s inner step")


if __name__ == "__main__":
    main()
