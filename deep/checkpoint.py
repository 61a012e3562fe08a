"""A checkpoint: one file that is always whole, from which a run goes on as if it had never been stopped.

A new one is written beside the old one and takes its name last of all, so that a kill at any moment leaves one of them.
"""

import os
import secrets
from pathlib import Path
from typing import Any

import torch

from reference.command import UserError

FILE = "checkpoint.pt"
VERSION = 1


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write the state, and the generators that are PyTorch's own.

    Raises:
        UserError: the folder cannot be written, or is full; the earlier checkpoint is kept.
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    whole = {"version": VERSION, **state, "rng": torch.get_rng_state(), "cuda": cuda}
    part = folder / f"{FILE}.{secrets.token_hex(4)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save(whole, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, folder / FILE)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{folder / FILE} cannot be written ({error}); free space or choose another folder") from None
    finally:
        part.unlink(missing_ok=True)


def load(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state in a folder, None where there is none; PyTorch's own generators are set to it.

    Raises:
        UserError: the file was cut short or damaged, or is of another version.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch.load raises what the damage happens to hit
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is damaged or cut short ({reason}); delete it to start from the beginning") from None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise UserError(f"{path} is not a checkpoint of version {VERSION}; delete it to start from the beginning")
    torch.set_rng_state(state["rng"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
    return state


def discard(folder: Path) -> None:
    """Remove the checkpoint and what a killed writer has left of one."""
    for path in (folder / FILE, *folder.glob(f"{FILE}.*.part")):
        path.unlink(missing_ok=True)
