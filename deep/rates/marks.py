"""Drop rates where a model reads them: numbers that know which attribute of which module they come from.

While a pass runs, an attribute such as `nn.Dropout.p` holds a `Rate`: the same number, with a name. Whatever operation it
reaches then has the rate itself, p = s(λ + ε), in its place; `1 - rate` is known as well. Any other arithmetic would make
a plain number of it, and is an error.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from reference.command import UserError


class Holder(NamedTuple):
    """An attribute of a module that holds a drop rate."""

    module: nn.Module
    attribute: str

    def __repr__(self) -> str:
        return f"{type(self.module).__name__}.{self.attribute}"


class Rate(float):
    """A drop rate, or 1 less it, under its name.

    Args:
        read: told of each operation that the rate reaches.
    """

    name: str
    kept: bool
    read: Callable[[], object]

    def __new__(cls, value: float, name: str, read: Callable[[], object], kept: bool = False) -> "Rate":
        rate = super().__new__(cls, value)
        rate.name, rate.read, rate.kept = name, read, kept
        return rate

    def __rsub__(self, other: Any) -> Any:
        if other == 1 and not isinstance(other, Tensor):
            return Rate(1 - float(self), self.name, self.read, not self.kept)
        return self._refuse(other)

    def _refuse(self, other: Any = None) -> Any:
        if isinstance(other, Tensor):
            return NotImplemented
        what = f"the drop rate {self.name!r} enters a calculation with plain numbers before it reaches an operation"
        raise UserError(f"{what}; do not declare it, or let the module give the rate itself to the dropout")

    __add__ = __radd__ = __sub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __pow__ = _refuse

    def __reduce__(self) -> Any:
        return float, (float(self),)


@contextmanager
def marked(rates: Iterable[tuple[str, Holder, float]], read: Callable[[str], object]) -> Iterator[None]:
    """Inside the block each holder's attribute is a `Rate` of this name and number."""
    before = []
    try:
        for name, holder, value in rates:
            attributes = vars(holder.module)
            before.append((attributes, holder.attribute, attributes[holder.attribute]))
            attributes[holder.attribute] = Rate(value, name, partial(read, name))
        yield
    finally:
        for attributes, attribute, value in before:
            attributes[attribute] = value
