"""What a step costs, in plain SGD steps of the same net: time (interleaved, medians) and peak memory (a process each).

    python -m benchmarks.cost mnist-mlp [--rounds 60]
    python -m benchmarks.cost fmnist-cnn

float32, batches of 128, H.2's networks in full, momentum SGD; the plain net has PyTorch's own dropout.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.optim import SGD
from tqdm import trange

from deep.hyper.hyperparameters import Hyperparameters
from deep.paper.networks import Network, mlp, simple_cnn
from deep.rates.find import dropout_rates
from deep.tuner.tuner import Tuner
from reference.updates import DELTA_STN_CV, METHODS

MEASURED = (*METHODS, DELTA_STN_CV)
NETWORKS: dict[str, Network] = {"mnist-mlp": mlp, "fmnist-cnn": simple_cnn}
LIMITS = {
    "Δ-STN inner": {"mnist-mlp": 2.9, "fmnist-cnn": 3.0},
    "Centered STN inner": {"mnist-mlp": 2.9, "fmnist-cnn": 3.0},
}
LIMITS |= {f"{DELTA_STN_CV.name} inner": dict.fromkeys(NETWORKS, 3.7)}
LIMITS |= {f"{name} inner": dict.fromkeys(NETWORKS, 2.1) for name in ("STN", "Reparam STN")}
LIMITS |= {f"{method.name} outer": dict.fromkeys(NETWORKS, 1.8) for method in MEASURED}

Step = Callable[[], object]


def plain(network: Network) -> Step:
    """A step of SGD as anyone writes it."""
    x, t = batch()
    model = network(x)
    optimiser = SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(x), t).backward()
        optimiser.step()

    return step


def tuned(network: Network, method: str, level: str) -> Step:
    """An inner or outer step of a method."""
    x, t = batch()
    model = network(x)
    chosen = next(one for one in MEASURED if one.name == method)
    tuner = Tuner(model, Hyperparameters(dropout_rates(model)), F.cross_entropy, method=chosen)
    return partial(tuner.inner_step if level == "inner" else tuner.outer_step, x, t)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Noise in the shape of MNIST."""
    return torch.rand(128, 1, 28, 28), torch.randint(10, (128,))


def kinds() -> dict[str, Callable[[Network], Step]]:
    """Name -> from a network to a step."""
    found: dict[str, Callable[[Network], Step]] = {"plain": plain}
    for method in MEASURED:
        for level in ("inner", "outer"):
            found[f"{method.name} {level}"] = partial(tuned, method=method.name, level=level)
    return found


def times(network: Network, rounds: int) -> dict[str, float]:
    """Median seconds of each kind of step, one of each in turn."""
    steps = {name: make(network) for name, make in kinds().items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in trange(rounds, unit="round"):
        for name, step in steps.items():
            begin = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - begin)
    return {name: statistics.median(some) for name, some in seconds.items()}


def peak(network: str, kind: str) -> int:
    """Kilobytes that a process grows by, at its peak, from before the network is made to after five steps (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _kilobytes("VmRSS")
    step = kinds()[kind](NETWORKS[network])
    for _ in range(5):
        step()
    return _kilobytes("VmHWM") - before


def _kilobytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    seconds = times(NETWORKS[options.network], options.rounds)
    context = multiprocessing.get_context("spawn")
    memory = {}
    for kind in kinds():
        with context.Pool(1) as pool:
            memory[kind] = pool.apply(peak, (options.network, kind))
    print(f"| {options.network} | time | at most | peak memory |\n|---|---|---|---|")
    for kind in kinds():
        limit = LIMITS.get(kind, {}).get(options.network, "")
        print(f"| {kind} | {seconds[kind] / seconds['plain']:.2f} | {limit} | {memory[kind] / memory['plain']:.2f} |")
    print(f"a plain step: {1e3 * seconds['plain']:.1f} ms, {memory['plain'] / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
