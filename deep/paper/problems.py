"""What each experiment of H.2, H.3 and I.1 trains, at a size: a model, its hyperparameters, losses and batches.

name          meaning
hyper         λ and σ, with the values they start from
train_loss    penalties included
valid_loss    what validation and test report
start         of the drop rates; None for H.2's and H.3's 0.05
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from deep.hyper.declared import Hyperparameter
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters
from deep.paper import language
from deep.paper.augmentation import AUGMENTATIONS, CUTOUT, Augmentation
from deep.paper.data.images import ImageSet, datasets, load
from deep.paper.data.text import Corpus, Streams, folder, novel
from deep.paper.networks import RATE, Network, alexnet, mlp, resnet18, simple_cnn, vgg16
from deep.rates.find import dropout_rates
from deep.training.batches import Batches
from deep.training.evaluation import Metric
from reference.console.command import UserError


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
    augment: Callable[[Any, Draws], Any] | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True)
class Size:
    """What makes the same experiment larger or smaller.

    Args:
        data: which set, where it is not the experiment's.
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
    """Return the part of the examples whose class has the largest output."""
    return (outputs.argmax(dim=-1) == t).float().mean()


def image_problem(
    network: Network,
    data: str,
    held_out: float,
    declared: Sequence[Hyperparameter],
    size: Size,
    start: float | None,
    seed: int,
    data_home: Path | None,
    device: torch.device,
) -> Problem:
    """Build H.2's: a network with its drop rates, and augmentations that are declared; CIFAR-10 in colour."""
    images = _load(size.data or data, data_home)
    if data == "cifar-10":
        images = ImageSet(*(part.reshaped(3, 32) for part in images))
    train, valid, test = datasets(images, held_out, seed, size.rows)
    x = train.tensors[0]
    model = network(x, width=size.width).to(device)
    hyper = Hyperparameters([*_started(dropout_rates(model), start), *declared])
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


MLP = partial(image_problem, mlp, "mnist", 0.15, ())
SIMPLE_CNN = partial(image_problem, simple_cnn, "fashion-mnist", 0.15, CUTOUT)
ALEXNET = partial(image_problem, alexnet, "cifar-10", 0.2, AUGMENTATIONS)
VGG16 = partial(image_problem, vgg16, "cifar-10", 0.2, AUGMENTATIONS)
RESNET18 = partial(image_problem, resnet18, "cifar-10", 0.2, AUGMENTATIONS)


def dropout_schedule(
    size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device
) -> Problem:
    """Build I.1's: the MLP with its input's drop rate alone."""
    problem = MLP(size, start, seed, data_home, device)
    for module in problem.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return replace(problem, hyper=Hyperparameters(_started([Hyperparameter("drop_input", RATE, high=0.95)], start)))


def language_model(size: Size, start: float | None, seed: int, data_home: Path | None, device: torch.device) -> Problem:
    """Build H.3's, on the text of a folder; without one on the novel, where `size.data` names it.

    Raises:
        UserError: no folder for an experiment on the Penn Treebank, or a text of fewer words than `size.rows`.
    """
    if data_home is None and size.data is None:
        raise UserError("the Penn Treebank is the LDC's, not shipped; give --data-home the folder of its three files")
    corpus = novel() if data_home is None else _read(data_home.resolve())
    if size.rows is not None and size.rows > len(corpus.train):
        raise UserError(f"the training text has {len(corpus.train)} words, not {size.rows}; choose fewer")
    model = language.LanguageModel(len(corpus.vocabulary), size.batch, max(1, round(650 * size.width))).to(device)
    *rates, ar, tar = language.hyperparameters(model)
    hyper = Hyperparameters([*_started(rates, start), ar, tar])
    train, valid, test = (
        Batches(Streams(tokens, size.batch, size.stream), None, seed, shuffle=False, device=device)
        for tokens in (corpus.train[: size.rows], corpus.valid[: size.rows], corpus.test[: size.test_rows])
    )
    return Problem(model, hyper, language.train_loss(hyper), language.valid_loss, train, valid, test)


def text_digest(data_home: Path) -> str:
    """Return 8 hex digits by which a folder's text is known."""
    return _read(data_home.resolve()).digest


def _started(rates: Sequence[Hyperparameter], start: float | None) -> list[Hyperparameter]:
    return [rate if start is None else replace(rate, start=start) for rate in rates]


# A sweep's runs and a search's trials have one set and one text.
_load = lru_cache(maxsize=1)(load)


@lru_cache(maxsize=1)
def _read(path: Path) -> Corpus:
    return folder(path)
