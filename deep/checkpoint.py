"""A checkpoint: one file that is always whole, from which a run goes on as if it had never been stopped.

A new one is written beside the old one and takes its name last of all, so that a kill at any moment leaves one of them.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

import torch

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


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
