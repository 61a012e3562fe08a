"""One operation's call on a weight that responds, with an ε for each example: what rules are made of.

affine               y + s ⊙ product(x, R), rows on W's outputs, or y + product(x ⊙ s, R), rows on its inputs
elementwise          each example's own weights, beside its tensor
example_by_example   any operation, on each example's tensors and weights alone (`torch.vmap`)
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from deep.responses.layouts import Place, Use
from deep.responses.weights import NoRule, Weight, differential
from reference.console.command import UserError

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def value_of(leaf: Any) -> Any:
    """A weight's value; anything else itself."""
    return leaf.value if isinstance(leaf, Weight) else leaf


def repeated(rows: Float[Tensor, "n ..."], place: Place) -> Tensor:
    """A row for each of an example's rows along the batch's axis."""
    if place.times == 1 or len(rows) == 1:
        return rows
    if place.interleaved:
        return rows.repeat(place.times, *[1] * (rows.ndim - 1))
    return rows.repeat_interleave(place.times, 0)


def beside(values: Shaped[Tensor, "n"], axis: int, ndim: int) -> Tensor:
    """(n,) along an axis of `ndim`."""
    shape = [1] * ndim
    shape[axis] = -1
    return values.reshape(shape)


@dataclass(frozen=True)
class Call:
    """One operation's call on a weight, as a rule sees it.

    Args:
        kind: the pass's.
        together: other processes are on their rows of the batch too.
        members: the model's own tensors.
        func: the operation.
        root: the name of the parameter behind the weight.
        use: where the batch is in its tensors.
        args, kwargs: its arguments, with a `Weight` for each tensor that responds.
    """

    kind: str
    together: bool
    members: Mapping[int, Tensor]
    func: Any
    root: str
    use: Use
    args: Any
    kwargs: Any

    @property
    def place(self) -> Place | None:
        """Where the batch is in the first result."""
        return self.use.results[0] if self.use.results else None

    def spread(self, scales: Float[Tensor, "n rows"], axis: int, ndim: int, place: Place) -> Tensor:
        """(n, rows) beside a tensor with the batch at `place` and rows on `axis`."""
        scales = repeated(scales, place)
        axis %= ndim
        shape = [1] * ndim
        shape[place.axis], shape[axis] = scales.shape
        return (scales if place.axis < axis else scales.mT).reshape(shape)

    def beside(self, weight: Weight, place: Place, ndim: int) -> Tensor:
        """Each example's weights written out beside a tensor of `ndim` axes with the batch at `place`."""
        lifted = repeated(weight.written_out(), place)
        lifted = lifted.reshape(len(lifted), *[1] * (ndim - weight.value.ndim), *weight.value.shape)
        if lifted.shape[place.axis + 1] != 1:
            raise NoRule(self.root, "it lies along the batch itself")
        return lifted.squeeze(place.axis + 1).movedim(0, place.axis)

    def elementwise(self, ndim: int) -> Any:
        """The operation on tensors that broadcast."""
        if (place := self.place) is None:
            return NotImplemented
        args, kwargs = tree_map(
            lambda leaf: self.beside(leaf, place, ndim) if isinstance(leaf, Weight) else leaf, (self.args, self.kwargs)
        )
        return self.func(*args, **kwargs)

    def affine(
        self,
        product: Product,
        x: Any,
        W: Any,
        b: Any,
        *,
        out: int,
        into: int | None,
        axis: int,
        extra: int = 0,
        broadcasts: bool = False,
    ) -> Any:
        """product(x, W, b) at each example's own weights: y + s ⊙ product(x, R), or y + product(x ⊙ s, R).

        Args:
            product: linear in x and in W; its third argument, where there is one, is added.
            out, into: W's axes of outputs and of inputs; None where inputs cannot be scaled.
            axis: of inputs in x and of outputs in the result, from the end.
            extra: axes that the result has more than x.
            broadcasts: x may have any axes in front.
        """
        if isinstance(W, Weight) and (W.rows is None or W.rows.axis not in (out, into)):
            return NotImplemented
        place = next(iter(self.use.tensors), None)
        if not isinstance(x, Weight) and place is not None:
            along_batch = place.axis == x.ndim + extra + axis
            return NotImplemented if along_batch else self._affine(product, x, W, b, out, axis, extra, place)
        if not broadcasts:
            return NotImplemented
        lifted = x.written_out() if isinstance(x, Weight) else x[None]
        y = self._affine(product, lifted, W, b, out, axis, extra, Place(0))
        return Weight(self.root, product(value_of(x), value_of(W), value_of(b)), self.kind, lifted=y)

    def _affine(
        self, product: Product, x: Tensor, W: Any, b: Any, out: int, axis: int, extra: int, place: Place
    ) -> Tensor:
        w, bias = value_of(W), value_of(b)
        rows = W.rows if isinstance(W, Weight) else None

        def change(x: Tensor, y: Tensor | None) -> Tensor | None:
            """y and what the responses add to it."""
            for s, R in rows.terms if rows is not None else ():
                if rows is not None and rows.axis == out:
                    term = product(x, R, None)
                    s = self.spread(s, axis, term.ndim, place).to(term.dtype)
                    y = s * term if y is None else torch.addcmul(y, s, term)
                else:
                    term = product(x * self.spread(s, axis, x.ndim, place).to(x.dtype), R, None)
                    y = term if y is None else y + term
            if isinstance(b, Weight):
                shift = self.spread(b.changes(), axis, x.ndim + extra, place)
                y = shift if y is None else y + shift.to(y.dtype)
            return y

        if self.kind == "weights":
            y = change(x, product(x, w, bias))
        elif self.kind == "differential":
            y, D = product(x, w, bias), change(x.detach(), None)
            y = self._not_in_inputs(y if D is None else y + differential(D).to(y.dtype))
        else:
            x, dx = forward_ad.unpack_dual(x)
            y = self._not_in_inputs(product(x, w, bias))
            dy = change(x, None if dx is None else product(dx, w, None))
            if dy is not None:
                y = y if y.shape == dy.shape else y.expand(dy.shape).clone()
                y = forward_ad.make_dual(y, dy.to(y.dtype))
        assert y is not None
        return y

    def _not_in_inputs(self, y: Tensor) -> Tensor:
        """y, whose derivative in x would be w0's alone: the response is in a tangent, or in a differential.

        Raises:
            UserError: it is differentiated in x; of a differential, twice.
        """
        linearised = self.kind == "linearised"

        def refuse(_gradient: Tensor) -> None:
            if linearised or torch.is_grad_enabled():
                problem = f"the operation on {self.root!r} is differentiated in its inputs"
                which = "linearisation" if linearised else "control variate"
                raise UserError(f"{problem}, which the {which} cannot follow; choose a method without one")

        if y.requires_grad:
            y.register_hook(refuse)
        return y

    def example_by_example(self) -> Any:
        """The operation on each example's tensors and weights alone."""
        leaves, spec = tree_flatten((self.args, self.kwargs))
        places = iter(self.use.tensors)
        others = [isinstance(leaf, Tensor) and id(leaf) not in self.members for leaf in leaves]
        place_of = [next(places) if other else None for other in others]
        inputs: list[Tensor] = []
        axes: list[int | None] = []
        for leaf, place in zip(leaves, place_of, strict=True):
            if isinstance(leaf, Weight):
                inputs.append(leaf.written_out())
                axes.append(0)
            elif isinstance(leaf, Tensor) and place is not None:
                sizes = (place.times, -1) if place.interleaved else (-1, place.times)
                inputs.append(leaf.unflatten(place.axis, sizes))
                axes.append(place.axis + place.interleaved)
            elif isinstance(leaf, Tensor):
                inputs.append(leaf)
                axes.append(None)
        batched = any(place is not None for place in place_of)
        which = [isinstance(leaf, (Tensor, Weight)) for leaf in leaves]

        def alone(*tensors: Tensor) -> tuple[Tensor, ...]:
            parts = iter(tensors)
            args, kwargs = tree_unflatten(
                [next(parts) if w else leaf for w, leaf in zip(which, leaves, strict=True)], spec
            )
            flat, shape[0] = tree_flatten(self.func(*args, **kwargs))
            return tuple(flat)

        shape: list[Any] = [None]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")
            results = torch.vmap(alone, tuple(axes), 0, randomness="different")(*inputs)
        if batched:
            flat = [self._joined(y, place) for y, place in zip(results, self.use.results, strict=True)]
            return tree_unflatten(flat, shape[0])
        args, kwargs = tree_map(value_of, (self.args, self.kwargs))
        values = self.func(*args, **kwargs)
        flat_values, _ = tree_flatten(values)
        places = self.use.results or (None,) * len(results)
        flat = [
            Weight(self.root, value, self.kind, lifted=y) if place is None else self._diagonal(y, place)
            for y, value, place in zip(results, flat_values, places, strict=True)
        ]
        return tree_unflatten(flat, shape[0])

    def _joined(self, y: Tensor, place: Place | None) -> Tensor:
        """(n, ...) with an example's rows at the batch's axis, as one tensor."""
        if place is None:
            raise NoRule(self.root, f"{getattr(self.func, '__name__', self.func)} mixes examples")
        y = y.movedim(0, place.axis + place.interleaved)
        return y.flatten(place.axis, place.axis + 1)

    def _diagonal(self, y: Tensor, place: Place) -> Tensor:
        """Example i's rows of what i's weights would give the whole batch; repeated weights are alike in each."""
        y = y.unflatten(place.axis + 1, (-1, place.times)).diagonal(dim1=0, dim2=place.axis + 1)
        return y.movedim(-1, place.axis).flatten(place.axis, place.axis + 1)
