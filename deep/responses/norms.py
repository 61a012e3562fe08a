"""Normalisations: the normalised input, then each example's own γ and β; batch norm in several processes.

    name    symbol                       shape
    y       γ (x - μ) / √(v + e) + β     like x
    total   Σ_r x_r                      any     of process r's x_r, the same in all
    mean    μ = Σ_r Σ_i x_ri / N         (c,)    over the N values of a channel in all processes
    var     v = Σ_r Σ_i (x_ri - μ)² / N  (c,)    the running variance takes v N/(N - 1)

All but the total are ordinary differentiable operations. The objective is L = Σ_r w_r L_r, of which each process
differentiates its own term w_r L_r (`gradients`). Through the total it depends on every x_s, with
∂L/∂x_s = Σ_r ∂(w_r L_r)/∂total: the cotangents are totalled too, and shares of any sizes need nothing else.
"""

from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from deep.responses.call import Call
from deep.responses.forward import IN_PROCESSES, RULES
from deep.responses.weights import Weight


def batch_norm(
    call: Call,
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """γ and β of each channel."""
    if isinstance(x, Weight):
        return NotImplemented
    normalised = shared_batch_norm if call.together else F.batch_norm
    # Without γ PyTorch does not mix precisions, as it does under autocast.
    wide = x if running_mean is None else x.to(running_mean.dtype)
    y = normalised(wide, running_mean, running_var, None, None, training, momentum, eps).to(x.dtype)
    return affine(call, y, weight, bias, 1)


def layer_norm(
    call: Call, x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """γ and β of each coordinate."""
    if isinstance(x, Weight):
        return NotImplemented
    return affine(call, F.layer_norm(x, normalized_shape, None, None, eps), weight, bias, None)


def rms_norm(call: Call, x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """γ of each coordinate."""
    if isinstance(x, Weight):
        return NotImplemented
    return affine(call, F.rms_norm(x, normalized_shape, None, eps), weight, None, None)


def group_norm(call: Call, x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """γ and β of each channel."""
    if isinstance(x, Weight):
        return NotImplemented
    return affine(call, F.group_norm(x, num_groups, None, None, eps), weight, bias, 1)


def instance_norm(
    call: Call,
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """γ and β of each channel."""
    if isinstance(x, Weight):
        return NotImplemented
    return affine(call, F.instance_norm(x, running_mean, running_var, None, None, *args, **kwargs), weight, bias, 1)


def affine(call: Call, y: Any, weight: Any, bias: Any, channels: int | None) -> Any:
    """γ y + β, with γ and β along one axis, or along the last ones."""
    place = call.place
    if place is None:
        return NotImplemented

    def beside(parameter: Any) -> Tensor:
        if not isinstance(parameter, Weight):
            return parameter if channels is None else _channels(parameter, y)
        if channels is None:
            return call.beside(parameter, place, y.ndim).to(y.dtype)
        return call.spread(parameter.written_out(), channels, y.ndim, place).to(y.dtype)

    if weight is not None and bias is not None:
        return torch.addcmul(beside(bias), y, beside(weight))
    y = y if weight is None else y * beside(weight)
    return y if bias is None else y + beside(bias)


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


def shared_batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`F.batch_norm` at the statistics of all processes' rows, which move the running ones once."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    # Sums of lower precision than float32 are of no use.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, var, N = moments(wide)
    with torch.no_grad():
        for running, new in ((running_mean, mean), (running_var, var * N / (N - 1))):
            if running is not None:
                running.lerp_(forward_ad.unpack_dual(new).primal.to(running.dtype), momentum)
    y = (wide - _channels(mean, wide)) * _channels((var + eps).rsqrt(), wide)
    y = y if weight is None else y * _channels(weight, wide)
    return (y if bias is None else y + _channels(bias, wide)).to(x.dtype)


def _channels(of: Float[Tensor, "c"], x: Tensor) -> Tensor:
    """(c,) beside (n, c, ...)."""
    return of.reshape(-1, *[1] * (x.ndim - 2))


RULES |= {
    F.batch_norm: batch_norm,
    F.layer_norm: layer_norm,
    torch.layer_norm: layer_norm,
    F.rms_norm: rms_norm,
    torch.rms_norm: rms_norm,
    F.group_norm: group_norm,
    torch.group_norm: group_norm,
    F.instance_norm: instance_norm,
}
IN_PROCESSES[F.batch_norm] = shared_batch_norm
