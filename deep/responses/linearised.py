"""What a linearised pass (Eqn. 3.13) needs beside PyTorch's forward mode: activations that lack it, and where it ends.

The linearisation is of the network's outputs. A model that computes its own loss ends it there: a loss function sees
f(w0) + J_yw Δw.
"""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from deep.responses.forward import LINEARISED
from deep.responses.weights import first_order
from reference.console.command import UserError


@cache
def _load_forward_mode() -> None:
    """The first dual number makes torch load its rules for them, and warn of its own use of torch.jit.script."""
    with warnings.catch_warnings(action="ignore"), forward_ad.dual_level():
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


def dual_level() -> AbstractContextManager[Any]:
    """A level for tangents."""
    _load_forward_mode()
    return forward_ad.dual_level()


def ending(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss function, of first-order values."""

    def at_outputs(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tree_map(first_order, (args, kwargs))
        with torch._C.DisableTorchFunction():
            return loss(*args, **kwargs)

    return at_outputs


def without_forward_mode(error: RuntimeError) -> UserError:
    """What to do where PyTorch has no forward derivative, or none of a tangent."""
    problem = f"the model has no forward-mode derivative ({str(error).split('.')[0][:120]})"
    return UserError(f"{problem}; replace the function, or choose a method without linearisation")


def hardsigmoid(x: Tensor, inplace: bool = False) -> Tensor:
    """clamp(x + 3, 0, 6)/6."""
    return (x + 3).clamp(0, 6) / 6


def glu(x: Tensor, dim: int = -1) -> Tensor:
    """a σ(b)."""
    a, b = x.chunk(2, dim)
    return a * b.sigmoid()


LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy ctc_loss huber_loss "
    "gaussian_nll_loss hinge_embedding_loss kl_div l1_loss margin_ranking_loss mse_loss multi_margin_loss "
    "multilabel_margin_loss multilabel_soft_margin_loss nll_loss poisson_nll_loss smooth_l1_loss "
    "soft_margin_loss triplet_margin_loss"
)
LINEARISED |= {
    **{getattr(F, name): ending(getattr(F, name)) for name in LOSSES.split()},
    F.hardsigmoid: hardsigmoid,
    F.glu: glu,
}
