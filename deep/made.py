"""What a scheduler was made with, in words that two runs can compare.

A step moves its counters and what it sets, never its arguments: those it keeps under their names (`name`, `_name`,
`names`), or puts into the groups of its optimizer. A function is told by its code and by the values that it reads.
"""

import inspect
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils._pytree import tree_map


def told(scheduler: object) -> str:
    """The arguments of a scheduler, of those that it holds as well.

    Example:
        >>> from torch import optim, zeros
        >>> told(optim.lr_scheduler.StepLR(optim.SGD([zeros(1)], lr=0.1), 5))
        "StepLR {'optimizer': ['SGD'], 'step_size': [5], 'gamma': [0.1]}"
    """
    groups = getattr(getattr(scheduler, "optimizer", None), "param_groups", [])
    kept = {
        name: [
            tree_map(_leaf, one[own])
            for one in (vars(scheduler), *groups)
            for own in (name, f"_{name}", f"{name}s")
            if own in one
        ]
        for name in inspect.signature(type(scheduler)).parameters
        if name != "last_epoch"
    }
    return f"{type(scheduler).__name__} {kept}"


def _leaf(value: Any) -> Any:
    match value:
        case bool() | int() | float() | str():
            return value
        case dict():  # such as a Counter
            return dict(value)
        case LRScheduler() | ReduceLROnPlateau():
            return told(value)
        case FunctionType():
            outer = inspect.getclosurevars(value)
            read = {name: one for name, one in {**outer.nonlocals, **outer.globals}.items() if not callable(one)}
            return _code(value.__code__), tree_map(_leaf, [value.__defaults__, value.__kwdefaults__, read])
        case partial():
            return tree_map(_leaf, [value.func, value.args, value.keywords])
    return type(value).__name__


def _code(code: CodeType) -> Any:
    constants = [_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return code.co_code.hex(), code.co_names, constants
