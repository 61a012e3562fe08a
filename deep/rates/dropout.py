"""Dropout at a rate that is a hyperparameter: inverted scaling, a rate for each example (appendix F, H.2).

    name     symbol       shape
    rate     p = s(λ+ε)   (n,), ()
    mask     (u ≥ p)/q    like the input, q = 1 - p; whole channels share one u in dropout1d, 2d and 3d

λ's gradient needs no derivative of the mask: λ enters the training loss alone, which is never differentiated in λ.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deep.rates.marks import Rate
from deep.responses.forward import RATE_RULES, Forward
from deep.responses.weights import Rows, Weight
from reference.console.command import UserError


def mask(rate: Tensor, uniforms: Tensor) -> Tensor:
    """(u ≥ p)/(1 - p), and 0 at p = 1."""
    return torch.where(uniforms >= rate, 1 / (1 - rate), 0)


def _keep(now: Forward, func: Any, x: Tensor, rate: Rate, channels: bool) -> tuple[Tensor, Tensor]:
    """The rate beside x, and the uniforms."""
    shape = list(x.shape)
    if channels:
        if x.ndim < 3:
            problem = f"dropout {rate.name!r}: {func.__name__} sees an input of {x.ndim} axes"
            raise UserError(f"{problem}; give it (examples, channels, ...)")
        shape[2:] = [1] * (x.ndim - 2)
    value, place = now.rate_beside(func, rate, x), now.place_of(func, rate, x)
    wide = torch.promote_types(x.dtype, torch.float32)  # bfloat16 has too few numbers for a rate of 0.001
    return value.to(wide), now.draws.uniform(shape, x, None if place is None else place.axis)


def dropout(
    channels: bool, func: Any, now: Forward, input: Any, p: Rate, training: bool = True, inplace: bool = False
) -> Any:
    """x ⊙ (u ≥ p)/(1 - p). Linear in x, so that a tangent is masked like x itself."""
    if not training:
        return input
    drops = mask(*_keep(now, func, input, p, channels)).to(input.dtype)
    if (weight := now.weight(input)) is not None and weight.rows is not None:
        # DropConnect: the weight and its response lose the same numbers.
        terms = [(s, R * drops) for s, R in weight.rows.terms]
        with torch._C.DisableTorchFunction():
            value = weight.value * drops
        return now.followed(Weight(weight.root, value, now.kind, Rows(terms, weight.rows.axis)))
    return input.mul_(drops) if inplace else input * drops


def alpha_dropout(
    channels: bool, func: Any, now: Forward, input: Any, p: Rate, training: bool = False, inplace: bool = False
) -> Any:
    """a (x m - α'(1 - m)) + b, which keeps mean 0 and variance 1: a = ((1 - p)(1 + p α'²))^(-1/2), b = a p α'."""
    if not training:
        return input
    rate, uniforms = _keep(now, func, input, p, channels)
    least = 1.0507009873554805 * 1.6732632423543772
    a = ((1 - rate) * (1 + rate * least**2)).rsqrt()
    stays = (uniforms >= rate).to(input.dtype)
    shift = a * (rate * least - least * (1 - stays))
    return input * (a * stays).to(input.dtype) + shift.to(input.dtype)


def bernoulli(now: Forward, input: Tensor, p: Rate, **_: Any) -> Tensor:
    """Zeros and ones in place, as DropPath and StochasticDepth draw them, from the tuner's own generator."""
    rate, uniforms = _keep(now, torch.Tensor.bernoulli_, input, p, False)
    return input.copy_(uniforms >= rate if p.retains else uniforms < rate)


def _rules() -> dict[Any, Any]:
    plain = (F.dropout, torch.dropout)
    channels = (F.dropout1d, F.dropout2d, F.dropout3d, torch.feature_dropout)
    return {
        **{func: partial(dropout, False, func) for func in plain},
        **{func: partial(dropout, True, func) for func in channels},
        **{func: partial(alpha_dropout, False, func) for func in (F.alpha_dropout, torch.alpha_dropout)},
        **{func: partial(alpha_dropout, True, func) for func in (F.feature_alpha_dropout, torch.feature_alpha_dropout)},
        torch.Tensor.bernoulli_: bernoulli,
    }


RATE_RULES |= _rules()
