"""Batch normalisation over the rows of all processes: it stands in for BatchNorm's own where there are several.

    name    symbol                       shape
    total   Σ_r x_r                      any     of process r's x_r, the same in all
    mean    μ = Σ_r Σ_i x_ri / N         (c,)    over the N values of a channel in all processes
    var     v = Σ_r Σ_i (x_ri - μ)² / N  (c,)    the running variance takes v N/(N - 1)
    y       γ (x - μ) / √(v + e) + β     (n, c, ...)

All but the total are ordinary differentiable operations. The objective is L = Σ_r w_r L_r, of which each process
differentiates its own term w_r L_r (`deep/updates.py`). Through the total it depends on every x_s, with
∂L/∂x_s = Σ_r ∂(w_r L_r)/∂total: the cotangents are totalled too, and shares of any sizes need nothing else.
"""

from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
import torch.autograd.forward_ad as forward_ad
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from deep.hyperparameters import Hyperparameters
from deep.parallel import processes
from reference.command import UserError


class _Total(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(y)
        return y

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Tensor:
        return _Total.apply(*cotangents)


def total(x: Tensor) -> Tensor:
    """Σ_r x_r; its tangent Σ_r dx_r is written out, so that it has a derivative in turn."""
    x, dx = forward_ad.unpack_dual(x)
    y = _Total.apply(x)
    return y if dx is None else forward_ad.make_dual(y, _Total.apply(dx))


def moments(x: Float[Tensor, "n c ..."]) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"], Float[Tensor, ""]]:
    """μ, v and N."""
    rows = [axis for axis in range(x.ndim) if axis != 1]
    count = x.new_full((1,), x.numel() // x.shape[1])
    *_, N = sums = total(torch.cat([x.sum(rows), count]))
    mean = sums[:-1] / N
    return mean, total((x - _channels(mean, x)).square().sum(rows)) / N, N


def normalised(x: Float[Tensor, "n c ..."], eps: float, hyper: Hyperparameters) -> Float[Tensor, "n c ..."]:
    """(x - μ)/√(v + e) by the batch's statistics."""
    if not _together(hyper):
        return F.batch_norm(x, None, None, training=True, eps=eps)
    wide = _wide(x)
    return _standardised(wide, *moments(wide)[:2], eps).to(x.dtype)


def is_norm(module: nn.Module, name: str) -> TypeGuard[_BatchNorm]:
    """Whether a module normalises by its batch, and so must see all of it.

    Raises:
        UserError: it does, and not as PyTorch's own, or has no running statistics for evaluation.
    """
    if not isinstance(module, _BatchNorm):
        return False
    own = type(module).forward is not _BatchNorm.forward
    if own or module.running_mean is None:
        what = "with a forward of its own" if own else "without running statistics"
        raise UserError(f"layer {name!r}: a BatchNorm {what} would see a part of the batch only; use one process")
    return True


@dataclass(frozen=True)
class SharedNorm:
    """What stands in for a BatchNorm's own `forward`; an object, so that models copy."""

    layer: _BatchNorm
    hyper: Hyperparameters

    def forward(self, input: Tensor) -> Tensor:
        """The layer at the statistics of the whole batch, which move the running ones once."""
        layer = self.layer
        if not (layer.training and _together(self.hyper)):
            return type(layer).forward(layer, input)
        layer._check_input_dim(input)
        x = _wide(input)
        mean, var, N = moments(x)
        if layer.track_running_stats:
            self._move(mean.detach(), var.detach() * N / (N - 1))
        y = _standardised(x, mean, var, layer.eps)
        if layer.affine:
            y = y * _channels(layer.weight, x) + _channels(layer.bias, x)
        return y.to(input.dtype)

    def _move(self, mean: Tensor, var: Tensor) -> None:
        """running ← running + momentum (batch's - running); None is the plain mean of all batches."""
        layer = self.layer
        assert layer.num_batches_tracked is not None
        layer.num_batches_tracked.add_(1)
        momentum = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        with torch.no_grad():
            for running, new in ((layer.running_mean, mean), (layer.running_var, var)):
                assert running is not None
                running.lerp_(new.to(running.dtype), momentum)


def _together(hyper: Hyperparameters) -> bool:
    """Whether the others are on their rows too; not so outside a step."""
    return processes() > 1 and hyper.now.n is not None


def _standardised(x: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return (x - _channels(mean, x)) * _channels((var + eps).rsqrt(), x)


def _channels(of: Float[Tensor, "c"], x: Tensor) -> Tensor:
    """(c,) beside (n, c, ...)."""
    return of.reshape(-1, *[1] * (x.ndim - 2))


def _wide(x: Tensor) -> Tensor:
    """Sums of lower precision than float32 are of no use."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
