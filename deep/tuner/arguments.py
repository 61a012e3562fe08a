"""What a `Tuner` may be given: of the right kind, and numbers that mean something.

Raises UserError wherever it refuses.
"""

import math
from numbers import Integral

from deep.hyper.hyperparameters import Hyperparameters
from reference.command import UserError
from reference.updates import METHODS, Method


def require_arguments(
    hyper: object,
    method: object,
    T_train: object,
    T_valid: object,
    warm_up: object,
    tau: float,
    clip: float | None,
    eps_per: object,
) -> None:
    """A table of what an argument must be, and what to do where it is not."""
    names = ", ".join(each.name for each in METHODS)
    table = (
        (isinstance(hyper, Hyperparameters), f"hyper is a {type(hyper).__name__}; give Hyperparameters([...]), such as of dropout_rates(model)"),
        (method is None or isinstance(method, Method), f"method={method!r} is no method; give one of reference.updates, such as DELTA_STN ({names}), or None for a plain run"),
        (math.isfinite(tau), f"tau={tau!r} is not a finite number"),
        (clip is None or clip > 0, f"clip={clip!r} is not a norm above zero; leave it out for no clipping"),
        (eps_per in ("example", "batch"), f"eps_per={eps_per!r} is neither 'example' nor 'batch'"),
    )
    for holds, message in table:
        if not holds:
            raise UserError(message)
    require_count("T_train", T_train, "inner steps", least=1)
    require_count("T_valid", T_valid, "outer steps")
    require_count("warm_up", warm_up, "inner steps")


def require_count(name: str, count: object, what: str, least: int = 0) -> None:
    """Refuse fractions, and numbers below the least."""
    if not isinstance(count, Integral) or count < least:
        raise UserError(f"{name}={count!r} is not a whole number of {what} from {least}")
