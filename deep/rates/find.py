"""Which attributes of a model's modules hold drop rates, and their names as hyperparameters."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from torch import nn

from deep.hyper.declared import Hyperparameter
from deep.rates.marks import Holder
from reference.command import UserError


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
    high: float = 0.95,
    *,
    start: float | Mapping[str, float] | None = None,
    per: str | Mapping[str, str] = "example",
) -> list[Hyperparameter]:
    """Each drop rate of the model as a hyperparameter in (0, high), from its present value.

    A rate is an attribute of a module: `nn.Dropout.p`, `nn.LSTM.dropout`, an attention's `dropout`, `DropPath.drop_prob`, ...
    Rates of 0 are left out, unless `start` says where they begin. Which of them an operation really reads is seen in the
    tuner's first step, which withdraws the others.

    Args:
        start: of the rates that are 0 now; one number, or one for each pattern of names.
        per: "example" or "batch" for all, or for each pattern of names.

    Raises:
        UserError: a present rate is at or outside a bound.

    Example:
        >>> [rate.name for rate in dropout_rates(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))]
        ['1']
    """
    rates = []
    for name, holder in holders(model).items():
        value = getattr(holder.module, holder.attribute) or _matching(start, name)
        if value is None:
            continue
        if not 0 < value < high:
            what = f"dropout {name!r}: its rate {value} is not strictly between 0 and {high}"
            raise UserError(f"{what}; set it to a start inside, or give dropout_rates(model, high=...)")
        rates.append(Hyperparameter(name, start=value, high=high, per=_matching(per, name) or "example", presumed=True))
    return rates


def _matching(values, name):
    if not isinstance(values, Mapping):
        return values
    return next((value for pattern, value in values.items() if fnmatchcase(name, pattern)), None)
