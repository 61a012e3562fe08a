"""Eqn. 3.14 and E.1 on one parameter of any shape: Δw = (Uc) ⊙_row W_response.

    name         symbol         shape
    w            W_general      the model's own parameter, which stays where it is
    response     W_response     w's shape         (b_response for a bias)
    U            U              (rows, h)         (V for a bias)
    scales       Uc             (n, rows)

A row is what one U scales together: an index of the axis `axis` of w. With one c for each example the weights differ
from example to example; they need not be written out, since a row's scale can wait until after an operation's product.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd


class RowResponse(nn.Module):
    """The response of one parameter: U = 0 and a response drawn like the parameter itself, so Θ = 0 with a gradient.

    Args:
        start: W_response at the start; ones where it is zero everywhere.
        h: the number of hyperparameters.
        axis: the parameter's axis of rows.
    """

    def __init__(self, start: Tensor, h: int, axis: int = 0) -> None:
        super().__init__()
        self.axis = axis
        # A constant 0, as BatchNorm's bias starts, would leave U and the response both without a gradient for ever.
        self.response = nn.Parameter((start if start.any() else torch.ones_like(start)).detach().clone())
        self.U = nn.Parameter(start.new_zeros(start.shape[axis] if start.ndim else 1, h))

    def scales(self, c: Float[Tensor, "n h"]) -> Float[Tensor, "n rows"]:
        """Uc."""
        return F.linear(c.to(self.U), self.U)

    def changes(self, c: Float[Tensor, "n h"]) -> Float[Tensor, "n ..."]:
        """Δw of each c, written out."""
        return along(self.scales(c), self.axis, self.response.ndim) * self.response

    def squared_norm(self, w: Tensor, c: Float[Tensor, "n h"], metric: Tensor | float = 1.0) -> Float[Tensor, "n"]:
        """‖w + Δw‖² for each c, without writing out any Δw: ‖w‖² + 2 Σ s ⟨w, r⟩ + Σ s² ‖r‖² over rows; in a metric."""
        square = self.scales(c).square() @ self._row_sums(metric * self.response.square())
        return (metric * w.square()).sum() + 2 * self.inner(w, c, metric) + square

    def inner(self, w: Tensor, c: Float[Tensor, "n h"], metric: Tensor | float = 1.0) -> Float[Tensor, "n"]:
        """⟨w, Δw⟩ for each c: Σ s ⟨w, r⟩ over rows; in a metric."""
        return self.scales(c) @ self._row_sums(metric * w * self.response)

    def _row_sums(self, x: Tensor) -> Float[Tensor, "rows"]:
        return x.movedim(self.axis, 0).reshape(x.shape[self.axis], -1).sum(1) if x.ndim else x.reshape(1)


def along(scales: Float[Tensor, "n rows"], axis: int, ndim: int) -> Tensor:
    """(n, rows) as (n, 1, ..., rows, ..., 1): beside a tensor of `ndim` axes whose rows lie on `axis`."""
    if not ndim:
        return scales[:, 0]
    shape = [1] * ndim
    shape[axis] = -1
    return scales.reshape(len(scales), *shape)


def row_axis(module: nn.Module, parameter: Tensor) -> int:
    """The axis of rows of a module's own parameter: its outputs, as far as the kind of module tells.

    Either side of a product may be scaled; this is a choice of structure, which no rule depends on.
    """
    if isinstance(module, _ConvTransposeNd):
        return 1 if parameter.ndim > 1 else 0
    first = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.Bilinear, nn.MultiheadAttention)
    return 0 if isinstance(module, first) else max(parameter.ndim - 1, 0)


def starts(module: nn.Module) -> Mapping[str, Tensor]:
    """A start of W_response for each of a module's own parameters, by name.

    Another draw by `reset_parameters` where the module has one; else normal, with the parameter's standard deviation.
    """
    parameters = dict(module.named_parameters(recurse=False))
    # What a hook computes anew in each call (pruning) is no leaf, and is not copied.
    computed = any(isinstance(value, Tensor) and value.grad_fn is not None for value in vars(module).values())
    if hasattr(module, "reset_parameters") and not hasattr(module, "parametrizations") and not computed:
        other = copy.deepcopy(module)
        other.reset_parameters()  # type: ignore[operator]
        redrawn = dict(other.named_parameters(recurse=False))
        if redrawn.keys() == parameters.keys():
            return redrawn
    with torch.no_grad():
        return {name: torch.randn_like(w) * w.std(correction=0) for name, w in parameters.items()}
