"""The sets of images of 5.2: read from where people have them, checked, and split into datasets.

    name          shape                                           values
    x             (n, 1, 28, 28), (n, 3, 32, 32), (n, 1, 8, 8)    bytes here; numbers in [0, 1] in datasets
    t             (n,)                                            classes 0 to 9

Augmentation needs [0, 1], so that is what datasets hold; a network's first layer standardises (`networks`). Nothing
is downloaded unless `data_home` is "openml". scikit-learn's digits are always here.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import TensorDataset

from deep.paper.data.image_files import Part
from deep.paper.data.image_sources import OPENML, SOURCES, Source, download, find
from reference.console.command import UserError


class Images(NamedTuple):
    """Images and their classes."""

    x: UInt8[Tensor, "n c h w"]
    t: Int64[Tensor, " n"]

    def reshaped(self, channels: int, size: int) -> "Images":
        """Repeat pixels and channels, so that a network of CIFAR-10 can be tried on digits."""
        times = size // self.x.shape[-1]
        x = self.x.expand(-1, channels, -1, -1).repeat_interleave(times, 2).repeat_interleave(times, 3)
        return Images(x, self.t)


class ImageSet(NamedTuple):
    """The published training and test parts."""

    train: Images
    test: Images


def load(name: str, data_home: str | Path | None = None) -> ImageSet:
    """Load a set by name: one of SOURCES, or `digits`.

    Args:
        data_home: a folder that holds the set itself or one of the folders in SOURCES, looked at before PLACES; or
            "openml" to download the set, in minutes, into scikit-learn's cache.

    Raises:
        UserError: an unknown name, no such folder, no source has the set, or what it has is not the published set.

    >>> load("digits").train.x.shape
    torch.Size([1500, 1, 8, 8])
    """
    if name == "digits":
        return _digits()
    if name not in SOURCES:
        raise UserError(f"no set of images is called {name!r}: choose one of digits, {', '.join(SOURCES)}")
    source = SOURCES[name]
    if str(data_home) == OPENML:
        return _checked(source, "OpenML", download(source))
    folder, reader = find(source, None if data_home is None else Path(data_home))
    return _checked(source, str(folder), reader(folder))


def split(n: int, valid_fraction: float, seed: int) -> tuple[Int64[Tensor, " k"], Int64[Tensor, " v"]]:
    """Draw training and validation rows of n without replacement.

    Raises:
        UserError: one of the two would be empty.
    """
    held_out = round(n * valid_fraction)
    if not 0 < held_out < n:
        raise UserError(f"{valid_fraction} of {n} rows held out leaves training or validation empty; choose another")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[held_out:], order[:held_out]


def datasets(images: ImageSet, valid_fraction: float, seed: int, rows: int | None = None) -> list[TensorDataset]:
    """Make training, validation (of the first `rows` rows of the training part) and test sets of numbers in [0, 1].

    Raises:
        UserError: there are fewer.
    """
    if rows is not None and rows > len(images.train.t):
        raise UserError(f"the training part has {len(images.train.t)} rows, not {rows}; choose fewer, or leave it out")
    x, t = images.train.x[:rows], images.train.t[:rows]
    parts = [(x[chosen], t[chosen]) for chosen in split(len(t), valid_fraction, seed)]
    return [TensorDataset(x.float() / 255, t) for x, t in (*parts, images.test)]


def _checked(source: Source, place: str, parts: tuple[Part, Part]) -> ImageSet:
    digest = hashlib.sha256(b"".join(array.tobytes() for part in parts for array in part)).hexdigest()
    if digest != source.sha256:
        raise UserError(f"{place}: what is there is not {source.title} as published; get it again: {source.how_to_get}")
    return ImageSet(*(Images(torch.tensor(x), torch.tensor(t, dtype=torch.int64)) for x, t in parts))


def _digits() -> ImageSet:
    """Take the last 297 for the test: by other writers than the first 1500, mostly. Their 0 to 16 become 0 to 255."""
    from sklearn.datasets import load_digits  # takes a second, and --help needs none of it

    pixels, labels = load_digits(return_X_y=True)
    x = torch.tensor(np.rint(pixels * (255 / 16)).astype(np.uint8)).reshape(-1, 1, 8, 8)
    t = torch.tensor(labels, dtype=torch.int64)
    return ImageSet(Images(x[:1500], t[:1500]), Images(x[1500:], t[1500:]))
