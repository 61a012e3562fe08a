"""What a `Tuner` may be given: of the right kind, and numbers that mean something.

Raises UserError wherever it refuses.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from numbers import Integral
from typing import Any

import torch

from deep.hyper.hyperparameters import Hyperparameters
from reference.console.command import UserError
from reference.rule.updates import METHODS, Method


def require_arguments(
    hyper: object,
    method: object,
    T_train: object,
    T_valid: object,
    warm_up: object,
    tau: float,
    clip: float | None,
    eps_per: object,
    seed: object,
    factories: Mapping[str, object],
) -> None:
    """A table of what an argument must be, and what to do where it is not."""
    names = ", ".join(each.name for each in METHODS)
    table = (
        (
            isinstance(hyper, Hyperparameters),
            f"hyper is a {type(hyper).__name__}; give Hyperparameters([...]), such as of dropout_rates(model)",
        ),
        (
            method is None or isinstance(method, Method),
            f"method={method!r} is no method; give one of reference.rule.updates, such as DELTA_STN ({names}), "
            "or None for a plain run",
        ),
        (math.isfinite(tau), f"tau={tau!r} is not a finite number"),
        (clip is None or clip > 0, f"clip={clip!r} is not a norm above zero; leave it out for no clipping"),
        (isinstance(seed, Integral), f"seed={seed!r} is not a whole number"),
        (eps_per in ("example", "batch"), f"eps_per={eps_per!r} is neither 'example' nor 'batch'"),
    )
    for holds, message in table:
        if not holds:
            raise UserError(message)
    assert isinstance(hyper, Hyperparameters)
    for declared in hyper.declared:
        if not isinstance(declared.name, str):
            raise UserError(f"a hyperparameter's name is {declared.name!r}; give a string")
    for name, factory in factories.items():
        if factory is not None and not callable(factory):
            problem = (
                f"{name}={type(factory).__name__}(...) is not a function that makes an optimizer of its parameters"
            )
            raise UserError(f"{problem}; give one such as {name}=functools.partial(torch.optim.SGD, lr=0.01)")
    require_count("T_train", T_train, "inner steps", least=1)
    require_count("T_valid", T_valid, "outer steps")
    require_count("warm_up", warm_up, "inner steps")


def require_no_float16(autocast: Callable[[], AbstractContextManager[Any]], device: str) -> None:
    """Refuse a precision in which small gradients are zero: they would need a GradScaler, and a Tuner has none."""
    with autocast():
        half = torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16
    if half:
        problem = "autocast is to float16, whose gradients underflow without a GradScaler, which a Tuner does not take"
        raise UserError(f"{problem}; choose torch.bfloat16")


def require_count(name: str, count: object, unit: str, least: int = 0) -> None:
    """Refuse fractions, and numbers below the least."""
    if not isinstance(count, Integral) or count < least:
        raise UserError(f"{name}={count!r} is not a whole number of {unit} from {least}")
