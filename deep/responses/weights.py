"""What flows through a model in place of a parameter while each example has weights of its own.

    name      symbol             shape
    value     w                  (*shape)           a parameter at w0, or a function of parameters alone
    rows      Δw = Σ s ⊙_row R   terms (s, R)       with s (n, rows) and R of w's shape
    lifted    w_i                (n, *shape)        written out, where an operation needs that

The model itself sees `value`, an ordinary tensor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float, Shaped
from torch import Tensor

from deep.responses.row_response import along

LARGEST = 1 << 26
"""Numbers that the written-out weights of one operation may have."""


class NoRule(Exception):
    """An operation on responding weights that cannot be followed with an ε for each example.

    Args:
        root: the name of the parameter behind the weights.
        reason: why, for `coverage`.
    """

    def __init__(self, root: str, reason: str) -> None:
        super().__init__(root, reason)
        self.root, self.reason = root, reason


class Rows(NamedTuple):
    """Δw = Σ s ⊙_row R over the terms, with rows on `axis`."""

    terms: Sequence[tuple[Float[Tensor, "n rows"], Tensor]]
    axis: int

    def changes(self) -> Float[Tensor, "n ..."]:
        """Δw of each example."""
        return sum((along(s, self.axis, R.ndim) * R for s, R in self.terms), torch.zeros(()))


@dataclass(eq=False)
class Weight:
    """A parameter, or a function of parameters alone, at each example's own weights.

    Args:
        root: the name of the parameter behind it.
        rows: the structured change, where there is one.
        lifted: the written-out weights otherwise.
    """

    root: str
    value: Tensor
    kind: str
    rows: Rows | None = None
    lifted: Tensor | None = None

    def changes(self) -> Float[Tensor, "n ..."]:
        """Δw of each example, or what the pass has in its place."""
        if self.rows is not None:
            return self.rows.changes()
        if self.kind != "linearised":
            return self.written_out() - self.value
        primal, tangent = forward_ad.unpack_dual(self.written_out())
        return torch.zeros_like(primal) if tangent is None else tangent

    def written_out(self) -> Shaped[Tensor, "n ..."]:
        """Each example's weights; with tangents where the pass is linearised.

        Raises:
            NoRule: they are too many numbers.
        """
        if self.lifted is None:
            assert self.rows is not None
            count = len(self.rows.terms[0][0]) * self.value.numel()
            if count > LARGEST:
                raise NoRule(self.root, f"{count:,} numbers would be needed for each example's own weights")
            self.lifted = moved(self.value, self.rows.changes(), self.kind)
        return self.lifted


def moved(w: Tensor, change: Tensor, kind: str) -> Tensor:
    """w + Δw; linearised, w with the tangent Δw; of a differential, w with the derivative of w + Δw."""
    change = change.to(w.dtype)
    if kind == "linearised":
        return forward_ad.make_dual(w.expand_as(change).clone(), change)
    return w + (differential(change) if kind == "differential" else change)


def differential(change: Tensor) -> Tensor:
    """Zero, with the derivative of the change."""
    return change - change.detach()


def first_order(y: Any) -> Any:
    """f(w0) + J_yw Δw of a dual number; anything else as it is."""
    if not isinstance(y, Tensor):
        return y
    primal, tangent = forward_ad.unpack_dual(y)
    return y if tangent is None else primal + tangent
