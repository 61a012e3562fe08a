"""Eqn. 3.14 on nn.LSTM: each of its parameters has a response of its own.

name           symbol       shape
weight_ih_l0   W_ih         (4H, m_in)   _l1 and so on in further layers;
weight_hh_l0   W_hh         (4H, H)      a row is one gate of one unit
bias_ih_l0     b_ih         (4H,)
bias_hh_l0     b_hh         (4H,)
"""

import torch
import torch.autograd.forward_ad as forward_ad
from jaxtyping import Float
from torch import Tensor, nn

from deep.hyperparameters import Hyperparameters
from deep.layers import register
from deep.recurrence import Layer, State
from deep.structured import Branch
from reference.command import UserError


class LSTMBranch(Branch[nn.LSTM]):
    """Eqn. 3.14 for each parameter of each layer; without a response the layer's own fused kernel runs.

    Raises:
        UserError: an LSTM that is bidirectional, projects, drops by itself, or has its examples on another axis.
    """

    def __init__(self, layer: nn.LSTM, hyper: Hyperparameters) -> None:
        if not layer.batch_first:
            raise UserError("an nn.LSTM's examples must be on the first axis; build it with batch_first=True")
        dropout = layer.dropout and layer.num_layers > 1
        if layer.bidirectional or layer.proj_size or dropout:
            what = "bidirectional" if layer.bidirectional else "with proj_size" if layer.proj_size else "with dropout"
            instead = "use one-layer nn.LSTMs in one direction, with nn.Dropout or nn.Linear modules between"
            raise UserError(f"no response is known for an nn.LSTM {what}; {instead}")
        super().__init__(layer, hyper)

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: State | None = None
    ) -> tuple[Tensor, State]:
        now, layer = self._hyper.now, self.layer
        if now.c is None:
            return self._own(input, hx)
        x = self.checked(input, now.c)
        h, c = hx or [x.new_zeros(layer.num_layers, len(x), layer.hidden_size)] * 2
        ends = []
        for k in range(layer.num_layers):
            one = self.at(k, now.c)
            step = one.at_w0 if now.differential else one.linearised if now.linearised else one.perturbed
            x, end = step(x, h[k], c[k])
            ends.append(end)
        if now.linearised:
            self.constant(forward_ad.unpack_dual(x).primal)
        x = self.first_order(x) if now.differential else x
        hs, cs = zip(*ends, strict=True)
        return x, (torch.stack(hs), torch.stack(cs))

    @classmethod
    def has_differential(cls) -> bool:
        return True

    def checked(self, x: Tensor, c: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.ndim != 3:
            raise UserError("an nn.LSTM with a response wants (examples, steps, features); pad instead of packing")
        return super().checked(x, c)

    def at(self, k: int, c: Float[Tensor, "_ h"]) -> Layer:
        """Layer k's weights, and its responses at c."""
        ih, hh = self.of(f"weight_ih_l{k}"), self.of(f"weight_hh_l{k}")
        W_hh, R_hh = self.hidden_weights(k)
        b = db = None
        if self.layer.bias:
            one, other = f"bias_ih_l{k}", f"bias_hh_l{k}"
            b = self.layer.get_parameter(one) + self.layer.get_parameter(other)
            db = self._bias_change(one, c) + self._bias_change(other, c)
        W_ih = self.layer.get_parameter(f"weight_ih_l{k}")
        return Layer(W_ih, W_hh, b, ih.response, R_hh, ih.scale(c)[:, None], hh.scale(c)[:, None], db)

    def hidden_weights(self, k: int) -> tuple[Tensor, Tensor]:
        """W_hh of layer k and of its response."""
        name = f"weight_hh_l{k}"
        return self.layer.get_parameter(name), self.of(name).response

    def _bias_change(self, name: str, c: Tensor) -> Float[Tensor, "_ 1 g"]:
        return (self.of(name).scale(c) * self.of(name).response)[:, None]


register(nn.LSTM, LSTMBranch)
