"""Which attributes of a model's modules hold drop rates, and their names as hyperparameters."""

from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

import deep.rates.dropout  # noqa: F401  (it registers its rules)
from deep.hyper.declared import Hyperparameter, Per
from deep.hyper.generators import repeated
from deep.rates.marks import Holder, Mark, marked
from deep.responses.contexts import frozen_statistics
from deep.responses.layouts import Layouts
from deep.responses.look import look
from reference.console.command import UserError


def holders(model: nn.Module, everything: bool = False) -> dict[str, Holder]:
    """Attributes that look like drop rates, by name: the module's path, with a number where it has several.

    Args:
        everything: every number from 0 to 1 that is an attribute of a module.
    """
    names: dict[str, Holder] = {}
    for path, module in model.named_modules():
        numbers = [a for a, value in vars(module).items() if type(value) in (int, float) and 0 <= value <= 1]
        likely = [attribute for attribute in numbers if _likely(attribute)]
        for k, attribute in enumerate(likely):
            label = path or attribute
            names[label if len(likely) == 1 else f"{label}#{k + 1}"] = Holder(module, attribute)
        if everything:
            others = [a for a in numbers if a not in likely and type(vars(module)[a]) is float]
            names |= {f"{path}.{attribute}": Holder(module, attribute) for attribute in others}
    return names


def _likely(attribute: str) -> bool:
    """`p`, or an attribute that is called a drop rate itself; of whole layers no example has a rate of its own."""
    return attribute == "p" or ("drop" in attribute.lower() and "layerdrop" not in attribute.lower())


def dropout_rates(
    model: nn.Module,
    x: Any = None,
    *,
    high: float | Mapping[str, float] = 0.95,
    start: float | Mapping[str, float] | None = None,
    per: Per | Mapping[str, Per] = "example",
) -> list[Hyperparameter]:
    """Each drop rate of the model as a hyperparameter in (0, high), from its present value.

    A rate is an attribute of a module: `nn.Dropout.p`, `nn.LSTM.dropout`, an attention's `dropout`,
    `DropPath.drop_prob`, ... Its name is the module's path, with a number where a module has several. Rates of 0 are
    left out, unless `start` says where they begin. With x the model is run once, and what no operation reads is left
    out; without x the tuner's first step sees that, and withdraws it.

    Args:
        x: inputs for the model.
        high, start, per: one value, or one for each pattern of names; `start` is of rates that are 0 now.

    Raises:
        UserError: a present rate is at or outside a bound.

    Example:
        >>> [rate.name for rate in dropout_rates(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))]
        ['1']
    """
    rates, read = [], None if x is None else _read(model, x)
    for name, holder in holders(model, everything=x is not None).items():
        value = holder.value or _matching(start, name, None)
        if value is None or (read is not None and name not in read):
            continue
        most = _matching(high, name, 0.95)
        if not 0 < value < most:
            problem = f"dropout {name!r}: its rate {value} is not strictly between 0 and {most}"
            raise UserError(f"{problem}; set it to a start inside, or give dropout_rates(model, high=...)")
        shared: Per = _matching(per, name, "example")
        rates.append(Hyperparameter(name, start=value, high=most, per=shared, presumed=True))
    return rates


def _matching(values: Any, name: str, otherwise: Any) -> Any:
    """A value for all, or that of the first pattern that a name fits."""
    if not isinstance(values, Mapping):
        return values
    return next((value for pattern, value in values.items() if fnmatchcase(name, pattern)), otherwise)


def _read(model: nn.Module, x: Any) -> set[str]:
    """Names of the rates that a dropout reads when the model runs; nothing of the model moves."""

    def run(_rows: int) -> None:
        model(**x) if isinstance(x, Mapping) else model(x)

    with torch.no_grad(), repeated():
        return look_at(model, run, 1)[1]


def look_at(
    model: nn.Module,
    run: Callable[[int], object],
    n: int,
    named: Mapping[int, str] = MappingProxyType({}),
    members: Iterable[Tensor] = (),
    tuned: Collection[str] = (),
) -> tuple[Layouts, set[str]]:
    """`look`, with every rate of the model marked; returns the names of those that are read, too. Nothing of it moves.

    Args:
        run, n, named, members: as of `look`.
        tuned: names of the rates of which no plain number may be made.
    """
    read: set[str] = set()
    likely = [*holders(model)]  # a marked attribute is none of them any more
    every = holders(model, everything=True)
    marks = [Mark(name, holder, holder.value, name in tuned) for name, holder in every.items()]
    with frozen_statistics(model), marked(marks, read.add) as rates:
        return look(run, n, named, members, rates, likely), read
