"""What a scheduler was made with, in words that two runs can compare before either has taken a step.

That is all that it holds then, and what it has added to the groups of its optimizer; not the rates themselves, which an
earlier run may have left where it ended. A function is told by its code and by the values that it reads.
"""

import inspect
from functools import partial
from types import CodeType, FunctionType
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils._pytree import tree_map


def told(scheduler: object) -> str:
    """A scheduler that has taken no step, and what it holds itself, schedulers as well.

    Example:
        >>> from torch import optim, zeros
        >>> w0 = optim.SGD([zeros(1)], lr=0.1)
        >>> of_five, as_much, of_six = (told(optim.lr_scheduler.StepLR(w0, size)) for size in (5, 5, 6))
        >>> of_five == as_much, of_five == of_six
        (True, False)
    """
    held = {name: value for name, value in vars(scheduler).items() if name not in ("optimizer", "_last_lr")}
    optimizer = getattr(scheduler, "optimizer", None)
    own = {"params", *getattr(optimizer, "defaults", ())}
    groups = getattr(optimizer, "param_groups", ())
    added = [{name: value for name, value in group.items() if name not in own} for group in groups]
    return f"{type(scheduler).__name__} {tree_map(_leaf, held)} {tree_map(_leaf, added)}"


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
