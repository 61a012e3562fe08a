"""The states of this process's own random generators: PyTorch's, NumPy's global one and Python's."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def generators() -> dict[str, Any]:
    """The states of this process's own generators: what a dropout that is not tuned, or a dataset, draws from.

    PyTorch's, NumPy's global one and Python's.
    """
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002  (the one that others use)
    numpy["state"]["key"] = numpy["state"]["key"].tolist()  # arrays are not loaded
    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": numpy,
        "python": random.getstate(),
    }


def set_generators(states: dict[str, Any]) -> None:
    """Put these generators to earlier states."""
    torch.set_rng_state(states["cpu"].cpu())
    np.random.set_state(states["numpy"])  # noqa: NPY002
    random.setstate(states["python"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in states["cuda"]])


@contextmanager
def repeated() -> Iterator[None]:
    """What is drawn in the block is drawn once more after it."""
    before = generators()
    yield
    set_generators(before)
