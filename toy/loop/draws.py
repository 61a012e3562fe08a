"""All randomness of a run: starts, mini-batches, perturbations and masks, one stream of each for each replicate.

name       shape        meaning
rows       (R, b)       row numbers of a mini-batch; each epoch goes once through a fresh permutation
normals    (R, h)       ε/σ
uniforms   (R, b, m)    what dropout masks are cut from

A replicate's numbers depend on its seed alone, not on how many run beside it, and are the same for every method.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

Streams = Sequence[np.random.Generator]
BLOCK = 64
"""Draws made at a time; a stream's numbers do not depend on it."""


def streams(seeds: Sequence[int]) -> tuple[Streams, Streams, Streams, Streams]:
    """For starts, rows, normals and uniforms, one generator for each seed."""
    start, rows, normals, uniforms = zip(*(np.random.default_rng(seed).spawn(4) for seed in seeds), strict=True)
    return start, rows, normals, uniforms


def row_batches(generators: Streams, n: int, size: int) -> Iterator[Int[ndarray, "R b"]]:
    """Mini-batches for ever: each epoch a permutation of the n rows, what is left over at its end dropped."""
    size = min(size, n)
    while True:
        epoch = np.stack([generator.permutation(n) for generator in generators])
        for start in range(0, n - size + 1, size):
            yield epoch[:, start : start + size]


def normals(generators: Streams, h: int) -> Iterator[Float[ndarray, "R h"]]:
    """Standard normal vectors for ever."""
    return _blocks(generators, np.random.Generator.standard_normal, (h,))


def uniforms(generators: Streams, rows: int, columns: int) -> Iterator[Float[ndarray, "R b m"]]:
    """Matrices of uniforms on [0, 1) for ever."""
    return _blocks(generators, np.random.Generator.random, (rows, columns))


def _blocks(generators: Streams, fill: Callable[..., ndarray], shape: tuple[int, ...]) -> Iterator[ndarray]:
    while True:
        block = np.empty((len(generators), BLOCK, *shape))
        for generator, part in zip(generators, block, strict=True):
            fill(generator, out=part)
        yield from block.swapaxes(0, 1)
