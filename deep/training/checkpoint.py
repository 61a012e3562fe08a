"""A checkpoint: one file that is always whole, from which a run goes on as if it had never been stopped.

A new one is written beside the old one and takes its name last of all, so that a kill at any moment leaves one of them.
Fingerprints of data and schedulers are in it: what they are where a name is not enough.
"""

import contextlib
import hashlib
import inspect
import json
import os
import secrets
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils._pytree import tree_map

from reference.console.command import UserError

FILE = "checkpoint.pt"
VERSION = 6


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
        problem = f"{folder / FILE} cannot be written ({_line(error)})"
        raise UserError(f"{problem}; free space or choose another folder") from None
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


def discard(folder: Path) -> None:
    """Remove the checkpoint and what a killed writer has left of one."""
    for path in (folder / FILE, *folder.glob(f"{FILE}.*.part")):
        path.unlink(missing_ok=True)


def digest(names: Iterable[str], tensors: Iterable[Tensor]) -> str:
    """8 hex digits of SHA-256 over names, types, shapes and numbers.

    Example:
        >>> digest(["rate"], [torch.zeros(2)]), digest(["rate"], [torch.zeros(2, 1)])
        ('b125d535', 'f335c9e8')
    """
    sha = hashlib.sha256(json.dumps(list(names)).encode())
    for tensor in tensors:
        sha.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return sha.hexdigest()[:8]


def scheduler_fingerprint(scheduler: object) -> str:
    """What a scheduler that has taken no step was made with, in words that two runs can compare.

    That is all that it holds then, and what it has added to the groups of its optimizer; not the rates themselves,
    which an earlier run may have left where it ended. A function is known by its code and by the values that it reads.

    Example:
        >>> from torch import optim, zeros
        >>> w0 = optim.SGD([zeros(1)], lr=0.1)
        >>> five, again, six = (scheduler_fingerprint(optim.lr_scheduler.StepLR(w0, size)) for size in (5, 5, 6))
        >>> five == again, five == six
        (True, False)
    """
    settings = {name: value for name, value in vars(scheduler).items() if name not in ("optimizer", "_last_lr")}
    optimizer = getattr(scheduler, "optimizer", None)
    defaults = {"params", *getattr(optimizer, "defaults", ())}
    groups = getattr(optimizer, "param_groups", ())
    added = [{name: value for name, value in group.items() if name not in defaults} for group in groups]
    return f"{type(scheduler).__name__} {tree_map(_leaf, settings)} {tree_map(_leaf, added)}"


def _leaf(value: Any) -> Any:
    match value:
        case bool() | int() | float() | str():
            return value
        case dict():  # such as a Counter
            return dict(value)
        case LRScheduler() | ReduceLROnPlateau():
            return scheduler_fingerprint(value)
        case FunctionType():
            outer = inspect.getclosurevars(value)
            names = {**outer.nonlocals, **outer.globals}
            read = {name: value for name, value in names.items() if not callable(value)}
            return _code(value.__code__), tree_map(_leaf, [value.__defaults__, value.__kwdefaults__, read])
        case partial():
            return tree_map(_leaf, [value.func, value.args, value.keywords])
    return type(value).__name__


def _code(code: CodeType) -> Any:
    constants = [_code(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return code.co_code.hex(), code.co_names, constants


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
