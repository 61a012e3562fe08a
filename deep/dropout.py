"""Dropout whose rate is a hyperparameter: inverted scaling, a rate for each example (appendix F, H.2).

    name     symbol       shape
    rate     p = s(λ+ε)   (n,), ()
    mask     (u ≥ p)/q    like the input, q = 1 - p; channels share one u in Dropout1d, 2d and 3d

λ's gradient needs no derivative of the mask: λ enters the training loss alone, which is never differentiated in λ.
"""

from dataclasses import dataclass
from typing import TypeGuard

import torch.autograd.forward_ad as forward_ad
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from deep.declared import Hyperparameter
from deep.draws import Draws
from deep.hyperparameters import Hyperparameters
from reference.command import UserError

CHANNELS = {nn.Dropout1d: (3,), nn.Dropout2d: (3, 4), nn.Dropout3d: (5,)}
"""Dropout of whole channels, and how many axes its batches may have."""


class WeightDropout(nn.Dropout):
    """Dropout of what all examples share, such as weights (DropConnect): one mask, and so one rate, a batch."""


def dropout_rates(model: nn.Module, high: float = 0.95) -> list[Hyperparameter]:
    """Each dropout module of the model as a hyperparameter of its name, in (0, high), from its present rate.

    Of AlphaDropout, and of the `dropout` of an LSTM or an attention, which are no modules of this kind, there is none.

    Raises:
        UserError: a present rate is at or outside a bound, as a rate of 0 is.

    Example:
        >>> [rate.name for rate in dropout_rates(nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1)))]
        ['1']
    """
    found = [(name, module) for name, module in model.named_modules() if is_dropout(module)]
    for name, module in found:
        if not 0 < module.p < high:
            what = f"dropout {name!r}: its rate {module.p} is not strictly between 0 and {high}"
            raise UserError(f"{what}; set the module's p to a start inside, or give dropout_rates(model, high=...)")
    return [Hyperparameter(name, start=module.p, high=high) for name, module in found]


def is_dropout(module: nn.Module) -> TypeGuard[_DropoutNd]:
    """Whether its rate can be tuned."""
    return isinstance(module, (nn.Dropout, *CHANNELS))


def drop(x: Tensor, rate: Tensor, uniforms: Tensor) -> Tensor:
    """x ⊙ (u ≥ p) / (1 - p), with p () or (n,) along the first axis and u broadcast over what is dropped together.

    Linear in x, so a tangent is masked like x itself.
    """
    rate = rate.to(uniforms.dtype).reshape(-1, *[1] * (x.ndim - 1))
    mask = ((uniforms >= rate) / (1 - rate)).to(x.dtype)
    x, dx = forward_ad.unpack_dual(x)
    return x * mask if dx is None else forward_ad.make_dual(x * mask, dx * mask)


@dataclass(frozen=True)
class TunedDropout:
    """What stands in for a dropout module's own `forward` while it is attached; an object, so that models copy.

    The input stays as it is, also where the module is in-place.

    Raises:
        UserError: that `forward` is not PyTorch's, and nothing says what it drops together, or the hyperparameter's
            bounds are no rates'.
    """

    module: _DropoutNd
    name: str
    hyper: Hyperparameters
    draws: Draws

    def __post_init__(self) -> None:
        declared = next(one for one in self.hyper.declared if one.name == self.name)
        if declared.low < 0 or declared.high > 1:
            what = f"dropout {self.name!r}: its rate is declared in ({declared.low}, {declared.high})"
            raise UserError(f"{what}; give bounds within 0 and 1, such as high=0.95")
        kind = type(self.module)
        own = kind.forward not in {one.forward for one in (nn.Dropout, *CHANNELS)}
        if own and not hasattr(kind, "mask_shape"):
            what = f"dropout {self.name!r}: a {kind.__name__} has a forward of its own, for which masks would stand in"
            raise UserError(
                f"{what}; give it a mask_shape(x), the shape of what is dropped together, or do not tune it"
            )

    def forward(self, input: Tensor) -> Tensor:
        """The input, dropped at the rate of the pass under way.

        Raises:
            UserError: its first axis is not the batch's, or a mask for all examples has a rate for each.
        """
        if not self.module.training:
            return input
        rate, shape = self.hyper[self.name], self.mask_shape(input)
        if isinstance(self.module, WeightDropout):
            if rate.ndim:
                raise UserError(f"dropout {self.name!r} has one mask for all examples; declare it with per='batch'")
            return drop(input, rate, self.draws.common_uniform(shape, input))
        if rate.ndim and len(rate) != len(input):
            what = f"dropout {self.name!r} sees {len(input)} rows in a batch of {len(rate)} examples"
            raise UserError(f"{what}; keep examples on the first axis, or declare it with per='batch'")
        return drop(input, rate, self.draws.uniform(shape, input))

    def mask_shape(self, x: Tensor) -> tuple[int, ...]:
        """Of what is dropped together; a dropout module of one's own says so in a `mask_shape` method."""
        if axes := next((axes for kind, axes in CHANNELS.items() if isinstance(self.module, kind)), None):
            if x.ndim not in axes:
                what = f"dropout {self.name!r}: a {type(self.module).__name__} sees an input of {x.ndim} axes"
                raise UserError(f"{what}; give it (examples, channels, ...), {axes[-1]} axes in all")
            return (*x.shape[:2], *[1] * (x.ndim - 2))
        own = getattr(self.module, "mask_shape", None)
        return tuple(x.shape) if own is None else own(x)
