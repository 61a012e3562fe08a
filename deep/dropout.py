"""Dropout whose rate is a hyperparameter: inverted scaling, a rate for each example (appendix F, H.2).

    name     symbol       shape
    rate     p = s(λ+ε)   (n,), ()
    mask     (u ≥ p)/q    like the input, q = 1 - p; channels share one u in Dropout1d and Dropout2d

λ's gradient needs no derivative of the mask: λ enters the training loss alone, which is never differentiated in λ.
"""

from collections.abc import Callable

import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn

from deep.draws import Draws
from deep.hyperparameters import Hyperparameter, Hyperparameters

CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


def dropout_rates(model: nn.Module, high: float = 0.95) -> list[Hyperparameter]:
    """Each dropout module of the model as a hyperparameter of its name, in (0, high), from its present rate.

    Raises:
        UserError: a present rate is at or outside a bound.

    Example:
        >>> [rate.name for rate in dropout_rates(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))]
        ['1']
    """
    found = ((name, module) for name, module in model.named_modules() if isinstance(module, (nn.Dropout, *CHANNELS)))
    return [Hyperparameter(name, start=module.p, high=high) for name, module in found]


def drop(x: Tensor, rate: Tensor, uniforms: Tensor) -> Tensor:
    """x ⊙ (u ≥ p) / (1 - p), with p () or (n,) along the first axis and u broadcast over what is dropped together.

    Linear in x, so a tangent is masked like x itself.
    """
    rate = rate.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    mask = (uniforms >= rate) / (1 - rate)
    x, dx = forward_ad.unpack_dual(x)
    return x * mask if dx is None else forward_ad.make_dual(x * mask, dx * mask)


def forward(module: nn.Module, name: str, hyper: Hyperparameters, draws: Draws) -> Callable[[Tensor], Tensor]:
    """What stands in for a dropout module's own `forward`."""

    def tuned(x: Tensor) -> Tensor:
        if not module.training:
            return x
        return drop(x, hyper[name], draws.uniform(_mask_shape(module, x), x))

    return tuned


def _mask_shape(module: nn.Module, x: Tensor) -> tuple[int, ...]:
    """Of what is dropped together; a dropout module of one's own says so in a `mask_shape` method."""
    if isinstance(module, CHANNELS):
        return (*x.shape[:2], *[1] * (x.ndim - 2))
    return module.mask_shape(x) if hasattr(module, "mask_shape") else tuple(x.shape)  # type: ignore[operator]
