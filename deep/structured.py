"""Eqn. 3.14 and E.1 on PyTorch's layers: W_θ = W_general + (Uc) ⊙_row W_response, b_θ = b_general + (Vc) ⊙ b_response.

    name         symbol         shape
    general      W_general      of the layer's own parameter, which stays where it is
    response     W_response     the same                       (b_response for a bias)
    U            U              (rows, h)                      (V for a bias)
    scale        Uc             (n, rows), (1, rows)

A row is what one U scales together: a unit of Linear, a filter of Conv, a channel of BatchNorm, a coordinate of
Embedding. With one c for each example the weights differ from example to example; no such weights are ever formed,
since a row's scale can wait until after the layer's own product.
"""

import copy
from typing import ClassVar, Generic, TypeVar

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deep.hyperparameters import Hyperparameters
from reference.command import UserError

L = TypeVar("L", bound=nn.Module)


class RowResponse(nn.Module):
    """The response of one parameter: U = 0 and a response drawn like the parameter itself, so Θ = 0 with a gradient.

    Args:
        drawn: another draw of the parameter's own initialisation.
        axis: the parameter's axis of rows.
    """

    def __init__(self, drawn: Tensor, h: int, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis
        # A constant 0, as BatchNorm's bias starts, would leave U and the response both without a gradient for ever.
        start = drawn if drawn.any() else torch.ones_like(drawn)
        self.response = nn.Parameter(start.detach().clone())
        self.U = nn.Parameter(drawn.new_zeros(drawn.shape[axis], h))

    def scale(self, c: Float[Tensor, "n h"], dims: int = 2) -> Float[Tensor, "n ..."]:
        """Uc as (n, rows), with axes of length 1 after the rows up to `dims`."""
        scale = F.linear(c.to(self.U), self.U)
        return scale.reshape(*scale.shape, *[1] * (dims - 2))

    def delta(self, c: Float[Tensor, "h"]) -> Tensor:
        """Δw of the parameter's own shape, for one c."""
        shape = [1] * self.response.ndim
        shape[self.axis] = -1
        return (self.U @ c.to(self.U)).reshape(shape) * self.response

    def squared_norm(self, general: Tensor, c: Float[Tensor, "n h"]) -> Float[Tensor, "n"]:
        """‖w + Δw‖² for each c, without forming any Δw: ‖w‖² + 2 Σ s ⟨w, r⟩ + Σ s² ‖r‖² over rows."""
        square = self.scale(c).square() @ self._row_sums(self.response.square())
        return general.square().sum() + 2 * self.inner(general, c) + square

    def inner(self, general: Tensor, c: Float[Tensor, "n h"]) -> Float[Tensor, "n"]:
        """⟨w, Δw⟩ for each c: Σ s ⟨w, r⟩ over rows."""
        return self.scale(c) @ self._row_sums(general * self.response)

    def _row_sums(self, x: Tensor) -> Float[Tensor, "rows"]:
        return x.movedim(self.axis, 0).reshape(x.shape[self.axis], -1).sum(1)


class Branch(nn.Module, Generic[L]):
    """The responses of one layer's parameters; while it is attached it stands in for the layer's own `forward`.

    A subclass says what the response adds to the layer's output (`change`); for a layer whose output is not linear in
    its parameters it overrides `forward` instead.

    Raises:
        UserError: the layer has no `reset_parameters`.
    """

    row_axis: ClassVar[dict[str, int]] = {}

    def __init__(self, layer: L, hyper: Hyperparameters) -> None:
        super().__init__()
        self._layer, self._own, self._hyper = [layer], layer.forward, hyper
        drawn = copy.deepcopy(layer)
        if not hasattr(drawn, "reset_parameters"):
            what = f"a {type(layer).__name__} has no reset_parameters, from which its response is drawn"
            raise UserError(f"{what}; give it one, or leave it without a response (without_response)")
        drawn.reset_parameters()  # type: ignore[operator]
        self.responses = nn.ModuleDict(
            {
                name: RowResponse(parameter, len(hyper), self.row_axis.get(name, 0))
                for name, parameter in drawn.named_parameters(recurse=False)
            }
        )

    @property
    def layer(self) -> L:
        """The layer; in a list, so that its parameters are not taken for the branch's."""
        return self._layer[0]

    def of(self, name: str) -> RowResponse:
        """The response of one of the layer's parameters."""
        response = self.responses[name]
        assert isinstance(response, RowResponse)
        return response

    def change(self, x: Tensor, c: Float[Tensor, "_ h"]) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the response adds to the layer's output, as (scale, product, offset): scale ⊙ product + offset."""
        raise NotImplementedError(f"{type(self).__name__} must say what it adds: define `change`, or `forward` itself")

    def forward(self, input: Tensor) -> Tensor:
        """The layer at the weights of the pass under way; where it is linearised, the change goes to the tangent."""
        now = self._hyper.now
        if now.c is None:
            return self._own(input)
        if now.differential:
            return self.at_w0(self._own(input), input, now.c)
        if not now.linearised:
            return _add(self._own(input), *self.change(self.checked(input, now.c), now.c))
        x, dx = forward_ad.unpack_dual(input)
        y, dy = self.dual(x, dx)
        return forward_ad.make_dual(self.constant(y), _add(dy, *self.change(self.checked(x, now.c), now.c)))

    @classmethod
    def has_differential(cls) -> bool:
        """Whether its `forward` knows the pass of a differential; one of a subclass's own must say so here."""
        return cls.forward is Branch.forward

    def at_w0(self, y: Tensor, x: Tensor, c: Float[Tensor, "_ h"]) -> Tensor:
        """y, the layer's output at w0, with the derivative of the change besides: ⟨∂L/∂y, change⟩ in the loss."""
        return self.first_order(y + differential(_add(None, *self.change(self.checked(x.detach(), c), c))))

    def first_order(self, y: Tensor) -> Tensor:
        """y, of a pass whose gradients are a differential's: one more derivative would not see the response.

        Raises:
            UserError: it is differentiated twice.
        """

        def refuse(_gradient: Tensor) -> None:
            if torch.is_grad_enabled():
                what = f"a {type(self.layer).__name__} is differentiated in its inputs"
                raise UserError(f"{what}, which the control variate cannot follow; choose a method without one")

        if y.requires_grad:
            y.register_hook(refuse)
        return y

    def constant(self, y: Tensor) -> Tensor:
        """y, a linearised layer's value at w0, which nothing may be differentiated through.

        Its derivative in x would be w0's alone, for the response is in no weight but in the tangent.

        Raises:
            UserError: it has a graph.
        """
        if y.requires_grad:
            what = f"a {type(self.layer).__name__} is differentiated in its inputs"
            instead = "give it inputs that need no gradient, or choose a method without linearisation"
            raise UserError(f"{what}, which the linearisation cannot follow; {instead}")
        return y

    def dual(self, x: Tensor, dx: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The layer's output at w0 and its derivative in direction dx, by forward-mode differentiation.

        A layer that is linear in x says so, which spares PyTorch's general rule two passes over its output.
        """
        y, dy = forward_ad.unpack_dual(self._own(x if dx is None else forward_ad.make_dual(x, dx)))
        return y, dy

    def checked(self, x: Tensor, c: Tensor) -> Tensor:
        """x, whose first axis must be that of c's examples.

        Raises:
            UserError: it is not.
        """
        if len(c) not in (1, len(x)):
            what = f"a {type(self.layer).__name__} sees {len(x)} rows in a batch of {len(c)} examples"
            raise UserError(f"{what}; keep examples on the first axis, or use one perturbation a batch")
        return x

    def settle(self, c: Float[Tensor, "h"]) -> None:
        """Add Δw to the layer's own parameters: what `detach` leaves behind."""
        with torch.no_grad():
            for name, parameter in self.layer.named_parameters(recurse=False):
                parameter += self.of(name).delta(c)

    def squared_norm(self, c: Float[Tensor, "n h"]) -> Float[Tensor, "n"]:
        """‖w + Δw‖² of all the layer's parameters."""
        named = [(self.of(name), parameter) for name, parameter in self.layer.named_parameters(recurse=False)]
        if self._hyper.now.differential:
            first = [w.square().sum() + differential(2 * one.inner(w.detach(), c)) for one, w in named]
            return torch.stack(first).sum(0)
        return torch.stack([one.squared_norm(w, c) for one, w in named]).sum(0)


def differential(change: Tensor) -> Tensor:
    """Zero, with the derivative of the change."""
    return change - change.detach()


def _add(y: Tensor | None, scale: Tensor, product: Tensor, offset: Tensor | None) -> Tensor:
    # Under autocast the scale may be of another precision; the change must be of the layer's.
    scale = scale.to(product.dtype)
    y = scale * product if y is None else torch.addcmul(y, scale, product)
    return y if offset is None else y + offset.to(y.dtype)
