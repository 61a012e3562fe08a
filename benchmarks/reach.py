"""Which architectures of timm a Tuner takes as they are: drawn at random, one inner and one outer step each.

    python -m benchmarks.reach --timm 100 --seed 0

An architecture counts where both losses are finite, at least 95 % of its parameters respond, and what it puts out for
three examples, each at weights of its own, is what it puts out with those weights written out, one example after
another, to 1e-3 of what they change (float32). Images are as small as the architecture takes; those of more than 60
million parameters are passed over. Beside deep's extra it needs timm.
"""

import argparse
import random
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from tqdm import tqdm

from deep import Hyperparameter, Hyperparameters, Tuner, dropout_rates
from deep.hyper.hyperparameters import Pass
from deep.responses.contexts import evaluating

ROWS, LARGEST, LEAST, TOLERANCE = 3, 60e6, 0.95, 1e-3


def build(name: str) -> tuple[nn.Module, Tensor]:
    """A model of ten classes in training mode, and noise of the smallest size that it takes."""
    import timm  # type: ignore[import-not-found]

    size = timm.models.get_pretrained_cfg(name).input_size[1]
    for small in (64, 96, 128, size):
        for options in ({"img_size": small}, {}):
            try:
                model = timm.create_model(name, num_classes=10, drop_rate=0.1, **options).train()
                x = torch.randn(ROWS, 3, small, small)
                model(x)
                return model, x
            except (TypeError, ValueError, RuntimeError, AssertionError, IndexError):
                continue
    raise ValueError(f"no size suits {name}")


def error(tuner: Tuner, x: Tensor) -> float:
    """The largest distance from written-out weights, in units of what the weights change; in evaluation mode."""
    net = tuner.net
    with torch.no_grad(), evaluating(net.model):
        for _, w, response in net:
            response.U.normal_()
            response.response.copy_(0.1 * torch.randn_like(w) * (w.std(correction=0) + 1e-3))
        c = torch.randn(len(x), len(net.hyper))
        before, lam = net.model(x), net.hyper.lam.detach().expand(len(x), -1)
        with net.through(Pass(lam, c, len(x))):
            together = net.model(x)
        weights = [w.clone() for _, w, _ in net]
        far = size = 0.0
        for i in range(len(x)):
            for (_, w, response), start in zip(net, weights, strict=True):
                w.copy_(start + response.changes(c[i : i + 1])[0])
            alone = net.model(x[i : i + 1])[0]
            far, size = (
                max(far, float((together[i] - alone).abs().max())),
                max(size, float((before[i] - alone).abs().max())),
            )
        for (_, w, _), start in zip(net, weights, strict=True):
            w.copy_(start)
    return far / max(size, 1e-12)


def attempt(name: str) -> tuple[bool, str]:
    """Whether an architecture counts, and its line."""
    torch.manual_seed(0)
    model, x = build(name)
    hyper: Any = dropout_rates(model) or [Hyperparameter("idle", start=1.0)]
    step = partial(SGD, lr=1e-4)
    tuner = Tuner(model, Hyperparameters(hyper), F.cross_entropy, w0=step, Theta=step)
    t = torch.randint(10, (ROWS,))
    finite = bool(torch.stack([tuner.inner_step(x, t).loss, tuner.outer_step(x, t).loss]).isfinite().all())
    coverage, distance = tuner.coverage(), error(tuner, x)
    good = finite and coverage.parameters >= LEAST and distance < TOLERANCE
    return good, f"{coverage.parameters:.1%} respond, {distance:.0e} from written out"


def main() -> None:
    """Print a line for each architecture, and the share."""
    import timm  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--timm", type=int, default=100, help="architectures")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = timm.list_models()
    random.Random(options.seed).shuffle(names)
    counted = tried = 0
    bar = tqdm(total=options.timm)
    for name in names:
        if tried == options.timm:
            break
        with torch.device("meta"):
            if sum(p.numel() for p in timm.create_model(name, num_classes=10).parameters()) > LARGEST:
                continue
        try:
            good, line = attempt(name)
        except Exception as failure:  # whatever it is, the architecture does not count
            good, line = False, f"{type(failure).__name__}: {str(failure).splitlines()[0][:120]}"
        tried, counted = tried + 1, counted + good
        bar.update()
        tqdm.write(f"{'yes' if good else 'no '} {name}: {line}")
    print(f"{counted} of {tried} architectures of timm")


if __name__ == "__main__":
    main()
