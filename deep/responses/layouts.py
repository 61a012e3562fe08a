"""Where the batch is in the tensors of an operation on a weight that responds.

    name       meaning
    Place      the axis of a tensor along which examples lie; `times` rows an example where a model regroups the batch
    Use        the places of an operation's tensors, in order, and of its results
    key        (parameter or rate, operation, number of axes of each tensor)

Tensors here are those that are neither a weight that responds nor otherwise the model's own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

Key = tuple[str, Any, tuple[int, ...]]


class Place(NamedTuple):
    """Examples lie along `axis`, `times` consecutive rows each; or, `interleaved`, the first rows of all come first."""

    axis: int
    times: int = 1
    interleaved: bool = False


class Use(NamedTuple):
    """The places of an operation's tensors, and of its results; None where the batch is not in one."""

    tensors: tuple[Place | None, ...]
    results: tuple[Place | None, ...]


@dataclass
class Layouts:
    """What is known of the uses of parameters and of drop rates.

    Args:
        uses: by key.
        members: the model's parameters and buffers by identity, which no other tensor has while they are here.
        unclear: parameters whose rows cannot be attributed to examples, with the reason.
        likely: names of attributes that look like drop rates; of others only a dropout's reading counts.
        seen, with_gradient: parameters that an operation has used, and of these in a graph.
        numbers: drop rates that a dropout has read as plain numbers, by the dropout's name.
    """

    uses: dict[Key, Use] = field(default_factory=dict)
    members: dict[int, Tensor] = field(default_factory=dict)
    unclear: dict[str, str] = field(default_factory=dict)
    likely: frozenset[str] = frozenset()
    seen: set[str] = field(default_factory=set)
    with_gradient: set[str] = field(default_factory=set)
    numbers: dict[str, float] = field(default_factory=dict)

    def use(self, root: str, operation: Any, tensors: list[Tensor], n: int) -> Use:
        """The use of a weight or a rate; by the length of the first axis where the model was not seen in such a one."""
        if known := self.uses.get(key_of(root, operation, tensors)):
            return known
        places = tuple(Place(0) if x.ndim and len(x) == n else None for x in tensors)
        return Use(places, (Place(0) if any(places) else None,))


def key_of(root: str, operation: Any, tensors: Iterable[Tensor]) -> Key:
    """The key of an operation's call."""
    return root, operation, tuple(tensor.ndim for tensor in tensors)
