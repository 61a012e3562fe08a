"""Drop rates where a model reads them: numbers that know which attribute of which module they come from.

While a pass runs, an attribute such as `nn.Dropout.p` holds a `Rate`: the same number, with a name. Whatever operation
it reaches then has the rate itself, p = s(λ + ε), in its place; `1 - rate` is known as well, and `float(rate)` by its
last digits, which no other number has. Any other arithmetic would make a plain number of it, and is an error.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils._pytree import tree_map

from reference.console.command import UserError


class Holder(NamedTuple):
    """An attribute of a module that holds a drop rate."""

    module: nn.Module
    attribute: str

    @property
    def value(self) -> float | int:
        """The rate that it holds."""
        return getattr(self.module, self.attribute)


class Rate(float):
    """A drop rate, or 1 less it, under its name.

    Args:
        read: told of each operation that the rate reaches.
        tuned: whether a plain number made of it would be an error.
    """

    name: str
    read: Callable[[], object]
    tuned: bool
    retains: bool

    def __new__(cls, value: float, name: str, read: Callable[[], object], tuned: bool, retains: bool = False) -> "Rate":
        rate = super().__new__(cls, value)
        rate.name, rate.read, rate.tuned, rate.retains = name, read, tuned, retains
        return rate

    def __rsub__(self, other: Any) -> Any:
        if type(other) in (int, float) and other == 1:
            return Rate(1 - float(self), self.name, self.read, self.tuned, not self.retains)
        return self.plain("__rsub__", other)

    def plain(self, operator: str, other: Any) -> Any:
        """The arithmetic of numbers.

        Raises:
            UserError: a rate that is tuned would become a number for good.
        """
        if self.tuned and not isinstance(other, Tensor):
            problem = (
                f"the drop rate {self.name!r} enters a calculation with plain numbers before it reaches an operation"
            )
            raise UserError(f"{problem}; do not declare it, or let the module give the rate itself to the dropout")
        return getattr(float, operator)(self, other)


for _operator in ["add", "radd", "sub", "mul", "rmul", "truediv", "rtruediv", "pow", "rpow", "floordiv", "mod"]:
    setattr(Rate, f"__{_operator}__", lambda self, other, name=f"__{_operator}__": self.plain(name, other))


class Mark(NamedTuple):
    """An attribute, and the rate that it holds while a pass runs."""

    name: str
    holder: Holder
    value: float
    tuned: bool


@contextmanager
def marked(marks: Iterable[Mark], read: Callable[[str], object]) -> Iterator[dict[float, Rate]]:
    """Inside the block each holder's attribute is a `Rate` of its name and number; `read` is told of its reading.

    Yields:
        The rates by their numbers, which are told apart in their last digits.
    """
    before, rates = [], {}
    try:
        for k, mark in enumerate(marks, 1):
            attributes, attribute = vars(mark.holder.module), mark.holder.attribute
            before.append((attributes, attribute, attributes[attribute]))
            number = mark.value * (1 + k * 2.0**-50)
            attributes[attribute] = rates[number] = Rate(number, mark.name, partial(read, mark.name), mark.tuned)
        yield rates
    finally:
        for attributes, attribute, value in before:
            attributes[attribute] = value


def known(rates: Mapping[float, Rate], arguments: Any) -> Any:
    """An operation's arguments, with rates in place of the numbers that a model has made of them."""
    return tree_map(lambda leaf: rates.get(leaf, leaf) if type(leaf) is float else leaf, arguments)
