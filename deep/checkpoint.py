"""A checkpoint: one file that is always whole, from which a run goes on as if it had never been stopped.

A new one is written beside the old one and takes its name last of all, so that a kill at any moment leaves one of them.
"""

import contextlib
import os
import random
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reference.command import UserError

FILE = "checkpoint.pt"
VERSION = 5


def save(folder: Path, state: dict[str, Any]) -> None:
    """Put the state in the folder.

    Raises:
        UserError: the folder cannot be written, or is full; the earlier checkpoint is kept.
    """
    # A name of its own: two runs in one folder must not write into one file.
    part = folder / f"{FILE}.{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save({"version": VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / FILE)
    except (OSError, RuntimeError) as error:
        what = f"{folder / FILE} cannot be written ({_line(error)})"
        raise UserError(f"{what}; free space or choose another folder") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def load(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state in a folder, None where there is none.

    Raises:
        UserError: the file was cut short or damaged, or is of another version.
    """
    path, again = folder / FILE, "delete it to start from the beginning"
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises what the damage happens to hit
        raise UserError(f"{path} is damaged or cut short ({_line(error)}); {again}") from None
    if not isinstance(state, dict) or state.pop("version", None) != VERSION:
        raise UserError(f"{path} is not a checkpoint of version {VERSION}; {again}")
    return state


def refuse_another(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    """Compare what a state belongs to with what is to be set to it.

    Raises:
        UserError: they are not of the same run.
    """
    for part in ours:
        if theirs.get(part) != ours[part]:
            raise UserError(f"the checkpoint is of another run: its {part} differ; use another folder, or start afresh")


def discard(folder: Path) -> None:
    """Remove the checkpoint and what a killed writer has left of one."""
    for path in (folder / FILE, *folder.glob(f"{FILE}.*.part")):
        path.unlink(missing_ok=True)


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


def own_buffers(model: nn.Module) -> dict[str, Tensor]:
    """The buffers that the model's state_dict leaves out: each process has its own, such as where its streams stand."""
    shared = model.state_dict().keys()
    return {name: one.detach().cpu().clone() for name, one in model.named_buffers() if name not in shared}


def set_own_buffers(model: nn.Module, buffers: dict[str, Tensor]) -> None:
    """Put such buffers to earlier values."""
    for name, value in buffers.items():
        place, _, last = name.rpartition(".")
        module = model.get_submodule(place)
        setattr(module, last, value.to(module.get_buffer(last).device, copy=True))


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
