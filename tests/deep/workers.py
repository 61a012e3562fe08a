"""Runs small trainings in 1, 2 and 3 processes that work together, and saves what came out of each.

A script of its own, which forks the processes: PyTorch is imported once, and no thread is running when it forks.
"""

import os
import sys
import traceback
from datetime import timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import TensorDataset

from deep.hyper.hyperparameters import Hyperparameters
from deep.hyper.parallel import Share, added, processes
from deep.paper.data.text import Streams
from deep.paper.language import LanguageModel, hyperparameters, train_loss, valid_loss
from deep.training.batches import Batches
from deep.training.fit import fit, record
from deep.tuner.hypernet import Hypernetwork
from deep.tuner.tuner import Tuner
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED
from reference.console.command import UserError
from reference.rule.updates import DELTA_STN, METHODS, Method
from tests.deep.small import data, killed_at, run, tuner
from tests.deep.strategies import draws, two

Found = dict[str, Any]

FOLLOWED: tuple[Method, ...] = (*METHODS, DELTA_STN_CV_NORMALISED)


def accuracy(y: Tensor, t: Tensor) -> Tensor:
    """A metric."""
    return (y.argmax(1) == t).double().mean()


def alike(**kwargs: Any) -> Tuner:
    """A tuner that draws from one generator alone."""
    return tuner(own=0.0, **kwargs)


def followed(rank: int, root: Path) -> Found:
    """All methods, a last batch of 17 % 7 = 3 rows, and one of 11 % 7 = 4 in validation."""
    actual: Found = {}
    for method in [*FOLLOWED, None]:
        # Other weights in each process: all are to start from process 0's.
        subject = alike(method=method, init=rank, noise=True, clip=0.5)
        name, folder = (method.name, root / method.name) if method else ("plain", root / "plain")
        rows = record(run(subject, folder, size=7, epochs=2, metrics={"accuracy": accuracy}), {"seed": 0})
        actual[name] = rows, subject.model.state_dict(), subject.net.responses.state_dict()
    batched = alike(eps_per="batch", norm=False)
    return actual | {"batch": (run(batched, size=7, epochs=2).run(), batched.model.state_dict(), {})}


def resumed(rank: int, root: Path) -> Found:
    """Killed in the middle, with a dropout that is not tuned: each process has its own generator."""

    def go(folder: Path, seed: int) -> Any:
        tuned = tuner()
        torch.manual_seed(seed + rank)
        return record(run(tuned, folder, size=7, epochs=2), {}), tuned.model.state_dict()

    straight = go(root / "straight", 0)
    with killed_at(5, Tuner, "inner_step_over"):
        go(root / "broken", 0)
    dist.barrier() if dist.is_initialized() else None
    return {"straight": straight, "broken": go(root / "broken", 50)}


def language(rank: int, root: Path) -> Found:
    """A model of text whose 16 streams lie over the processes, left alone and killed in the middle of an epoch.

    Of two processes each has 8 streams, and DropConnect's mask 8 rows.
    """

    def go(folder: Path) -> Any:
        torch.manual_seed(rank)
        model = LanguageModel(7, streams=16, width=2)
        hyper = Hyperparameters(hyperparameters(model))
        tuned = Tuner(model, hyper, train_loss(hyper), valid_loss, w0=partial(SGD, lr=1.0), T_train=2, seed=3)
        tokens = torch.arange(16 * 9 + 1) ** 2 % 7
        train, valid = (Batches(Streams(part, 16, 3), None, 0, shuffle=False) for part in (tokens, tokens.flip(0)))
        return record(run(tuned, folder, size=7, train=train, valid=valid, epochs=2), {}), model.state_dict()

    straight = go(root / "straight")
    with killed_at(6, Tuner, "inner_step_over"):
        go(root / "broken")
    dist.barrier() if dist.is_initialized() else None
    return {"straight": straight, "broken": go(root / "broken")}


SHAPES = (3,), (3, 2), (3, 4, 2)
NORMS = {"usual": {}, "cumulative": {"momentum": None}, "plain": {"affine": False, "eps": 0.1}}


def normed(rank: int, root: Path) -> Found:
    """Values, gradients, tangents and statistics of a batch norm on rows that are shared 1 : rest, twice."""
    actual: Found = {}
    for shape, (name, options) in product(SHAPES, NORMS.items()):
        torch.manual_seed(0)
        kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
        net = Hypernetwork(kind(3, **options), two(), draws(), respond=False)
        every = torch.randn(4, 7, *shape) * 3 + 1
        parts = every if processes() == 1 else every.split([*[1] * (processes() - 1), 8 - processes()], 1)[rank]
        x, dx, k, dk = parts
        net.draws.share = Share.of([len(x)], x.device)[0]
        for leaf in (x, dx):
            leaf.requires_grad_()
        with forward_ad.dual_level(), net.through(net.hyper.centre(len(x))):
            y = net.model(x)
            # As linearising has it: a graph behind the tangent alone.
            _, dy = forward_ad.unpack_dual(net.model(forward_ad.make_dual(2 * x.detach(), dx)))
        assert dy is not None
        loss = ((y.square() * k).sum() + (dy.square() * dk).sum()) / len(x)
        weight = torch.tensor(net.draws.share.weight())
        of_x, of_dx, *rest = torch.autograd.grad(loss, [x, dx, *net.model.parameters()], weight)
        rows = [y.detach(), dy.detach(), of_x, of_dx]
        actual[f"{shape} {name}"] = rows, [*added([weight * loss.detach(), *rest]), *net.model.buffers()]
        net.detach()
    return actual


def refused(rank: int, root: Path) -> Found:
    """Every process says why, and none is left waiting."""

    def poisoned(norm: bool) -> None:
        x, t = data(8, 0).tensors
        x[-1] = torch.nan  # the last process's
        subject = alike(method=DELTA_STN, norm=norm)
        run(subject, size=7, train=Batches(TensorDataset(x, t), 8, 0, shuffle=False)).run()

    def perturbed(norm: bool, far: float) -> None:
        subject = alike(method=DELTA_STN, norm=norm)
        for parameter in next(iter(subject.net))[2].parameters():
            parameter.detach().fill_(1e75)  # a response is a product of two, whose square is a number still
        x, t = data(8, 0).tensors
        x[-1] *= far  # the last process's
        run(subject, size=7, train=Batches(TensorDataset(x, t), 8, 0, shuffle=False)).run()

    def empty() -> None:
        alike(norm=False).inner_step(torch.zeros(int(rank == 0), 5), torch.zeros(int(rank == 0)).long())

    def finished() -> None:
        for _ in range(2):
            fit(alike(), data(8, 0), data(8, 1), 1, batch_size=4, out=root / "finished", progress=False)

    actual: Found = {}
    cases = {
        "small": lambda: run(alike(norm=False), size=16), "poisoned": lambda: poisoned(False),
        "poisoned statistics": lambda: poisoned(True), "perturbed": lambda: perturbed(False, 1e200),
        "perturbed statistics": lambda: perturbed(True, 1e150), "empty": empty, "finished": finished,
    }  # fmt: skip
    for name, case in cases.items():
        try:
            case()
            actual[name] = "nothing"
        except UserError as error:
            actual[name] = str(error)
    return actual


def process(rank: int, count: int, root: Path) -> None:
    """One of `count` processes."""
    root.mkdir(exist_ok=True)
    if count > 1:
        place = f"file://{root / 'meeting'}"
        dist.init_process_group("gloo", place, timedelta(seconds=60), rank=rank, world_size=count)
    actual = {
        case.__name__: case(rank, root / case.__name__) for case in (followed, resumed, language, normed, refused)
    }
    torch.save(actual, root / f"{rank}.pt")
    if count > 1:
        dist.destroy_process_group()


def main(root: Path) -> None:
    """1, 2 and 3 processes, one number after another."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    tuner()  # what PyTorch imports late, once for all
    for count in (1, 2, 3):
        children = []
        for rank in range(count):
            children.append(os.fork())
            if not children[-1]:
                status = 1
                try:
                    process(rank, count, root / str(count))
                    status = 0
                except Exception:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


if __name__ == "__main__":
    os.fsync = lambda fd: None
    main(Path(sys.argv[1]))
