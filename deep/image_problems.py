"""The experiments on images, H.2 and I.1, at a size: which net, which hyperparameters, which data."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import TensorDataset

from deep import networks
from deep.augment import AUGMENTATIONS, CUTOUT, Augmentation
from deep.training.batches import Batches
from deep.hyper.declared import Hyperparameter
from deep.rates.find import dropout_rates
from deep.hyper.hyperparameters import Hyperparameters
from deep.images import ImageSet, datasets, load
from deep.networks import RATE, Network
from deep.problems import Problem, Size, accuracy


def mlp(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """H.2.1: 15 % held out, three drop rates."""
    images = _loaded(size.data or "mnist", data_home)
    return _problem(networks.mlp, images, 0.15, (), size, start, seed, device)


def simple_cnn(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """H.2.2: 15 % held out, four drop rates and Cutout."""
    images = _loaded(size.data or "fashion-mnist", data_home)
    return _problem(networks.simple_cnn, images, 0.15, CUTOUT, size, start, seed, device)


def alexnet(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """H.2.3: 20 % held out, eight drop rates and ten of augmentation."""
    return _problem(networks.alexnet, _coloured(size, data_home), 0.2, AUGMENTATIONS, size, start, seed, device)


def vgg16(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """H.2.3: sixteen drop rates and ten of augmentation."""
    return _problem(networks.vgg16, _coloured(size, data_home), 0.2, AUGMENTATIONS, size, start, seed, device)


def resnet18(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """H.2.3: nine drop rates and ten of augmentation."""
    return _problem(networks.resnet18, _coloured(size, data_home), 0.2, AUGMENTATIONS, size, start, seed, device)


def dropout_schedule(
    size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device
) -> Problem:
    """I.1: the MLP with its input's drop rate alone."""
    problem = mlp(size, start, seed, data_home, device)
    for module in problem.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    only = Hyperparameter("drop_input", start=RATE if start is None else start, high=0.95)
    return replace(problem, hyper=Hyperparameters([only]))


@lru_cache(maxsize=1)  # a sweep's runs and a search's trials have one set
def _loaded(name: str, data_home: Path | None) -> ImageSet:
    return load(name, data_home)


def _coloured(size: Size, data_home: Path | None) -> ImageSet:
    """CIFAR-10, or another set in its shape."""
    images = _loaded(size.data or "cifar-10", data_home)
    return ImageSet(*(part.shaped(3, 32) for part in images))


def _problem(
    network: Network,
    images: ImageSet,
    held_out: float,
    declared: Sequence[Hyperparameter],
    size: Size,
    start: float | None,
    seed: int,
    device: torch.device,
) -> Problem:
    train, valid, test = datasets(images, held_out, seed, size.rows)
    x = train.tensors[0]
    model = network(x, width=size.width, rate=RATE).to(device)
    rates = [one if start is None else replace(one, start=start) for one in dropout_rates(model)]
    hyper = Hyperparameters([*rates, *declared])
    test = TensorDataset(*(tensor[: size.test_rows] for tensor in test.tensors))
    return Problem(
        model,
        hyper,
        train_loss=F.cross_entropy,
        valid_loss=F.cross_entropy,
        train=Batches(train, size.batch, seed, device=device),
        valid=Batches(valid, size.batch, seed + 1, device=device),
        test=Batches(test, size.batch, seed, shuffle=False, device=device),
        augment=Augmentation(hyper, x.mean(dim=(0, 2, 3))) if declared else None,
        metrics={"accuracy": accuracy},
    )
