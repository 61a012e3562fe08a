"""What a linearised pass (Eqn. 3.13) needs beside PyTorch's forward mode: activations that lack it, and where it ends.

The linearisation is of the network's outputs. A model that computes its own loss ends it there: a loss function sees
f(w0) + J_yw Δw.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from deep.responses.forward import LINEARISED


def first_order(y: Any) -> Any:
    """f(w0) + J_yw Δw of a dual number; anything else as it is."""
    if not isinstance(y, Tensor):
        return y
    primal, tangent = forward_ad.unpack_dual(y)
    return primal if tangent is None else primal + tangent


def ending(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss function, of first-order values."""

    def at_outputs(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(first_order, (args, kwargs))
        with torch._C.DisableTorchFunction():
            return loss(*args, **kwargs)

    return at_outputs


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """clamp(x + 3, 0, 6)/6."""
    return (x + 3).clamp(0, 6) / 6


def hardswish(x: Tensor, inplace: bool = False) -> Tensor:
    """x clamp(x + 3, 0, 6)/6."""
    return x * hardsigmoid(x)


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a σ(b)."""
    a, b = x.chunk(2, dim)
    return a * b.sigmoid()


LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss gaussian_nll_loss "
    "hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss multilabel_margin_loss "
    "multilabel_soft_margin_loss nll_loss poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss"
)
LINEARISED |= {
    **{getattr(F, name): ending(getattr(F, name)) for name in LOSSES.split()},
    F.hardsigmoid: hardsigmoid,
    F.hardswish: hardswish,
    F.glu: glu,
}
