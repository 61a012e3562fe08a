"""An LSTM layer whose weights differ from example to example: the loops over time behind `deep/lstm.py`.

    name       symbol                        shape
    a          a_t = W_ih x_t + b + W_hh h   (n, T, 4H)   gates i, f, g, o before σ, σ, tanh, σ
    h, c       h_t = o tanh(c_t)             (n, H)       c_t = f c_{t-1} + i g
    R, s       W_response, Uc                (4H, ..), (n, 1, 4H)   so that ΔW x = s ⊙ (R x)

No fused kernel takes weights of each example's own. What does not wait for h_{t-1} is computed for all steps at once.
Linearised, only the values pass through the cells; their tangents follow a linear recurrence:

    da_t = (all but W_hh dh) + W_hh dh_{t-1},   dc_t = f dc_{t-1} + g i' da^i + c_{t-1} f' da^f + i g' da^g,
    dh_t = o (1 - tanh² c_t) dc_t + tanh(c_t) o' da^o.
"""

from typing import NamedTuple

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from deep.structured import differential

State = tuple[Tensor, Tensor]


class Layer(NamedTuple):
    """One layer's weights and its responses in the pass under way; db is Δb."""

    W_ih: Float[Tensor, "g i"]
    W_hh: Float[Tensor, "g m"]
    b: Float[Tensor, "g"] | None
    R_ih: Float[Tensor, "g i"]
    R_hh: Float[Tensor, "g m"]
    s_ih: Float[Tensor, "_ 1 g"]
    s_hh: Float[Tensor, "_ 1 g"]
    db: Float[Tensor, "_ 1 g"] | None

    def inputs(self, x: Float[Tensor, "n T i"]) -> Float[Tensor, "n T g"]:
        """W_ih x + b."""
        return F.linear(x, self.W_ih, self.b)

    def inputs_change(self, x: Float[Tensor, "n T i"]) -> Float[Tensor, "n T g"]:
        """ΔW_ih x + Δb."""
        change = self.s_ih * F.linear(x, self.R_ih)
        return change if self.db is None else change + self.db

    def perturbed(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, State]:
        """h_1 ... h_T and (h_T, c_T) at w0 + Δw."""
        both, s, hs = torch.cat([self.W_hh, self.R_hh]), self.s_hh[:, 0], []
        for a in (self.inputs(x) + self.inputs_change(x)).unbind(1):
            general, response = F.linear(h, both).chunk(2, -1)
            h, c = cell(a + torch.addcmul(general, s.to(general.dtype), response), c)
            hs.append(h)
        return torch.stack(hs, 1), (h, c)

    def at_w0(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, State]:
        """The same at w0 itself, with the derivative of Δw: each step's own signal times what it adds there."""
        s, hs = self.s_hh[:, 0], []
        for a in (self.inputs(x) + differential(self.inputs_change(x.detach()))).unbind(1):
            response = s.to(a.dtype) * F.linear(h.detach(), self.R_hh)
            h, c = cell(a + F.linear(h, self.W_hh) + differential(response), c)
            hs.append(h)
        return torch.stack(hs, 1), (h, c)

    def linearised(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, State]:
        """The same as dual numbers: values at w0, and Δw in their tangents."""
        (x, dx), (h, dh), (c, dc) = map(forward_ad.unpack_dual, (x, h, c))
        a, hs, cs = self._values(x, h, c)
        da = self.inputs_change(x) + self.s_hh * F.linear(hs[:, :-1], self.R_hh)
        da = da if dx is None else da + F.linear(dx, self.W_ih)
        dh, dc = (torch.zeros_like(v) if dv is None else dv for v, dv in ((h, dh), (c, dc)))
        dhs, dc = self._tangents(a, cs, da, dh, dc)
        dhs = dhs.to(hs.dtype)
        h, c = (forward_ad.make_dual(v[:, -1], dv) for v, dv in ((hs, dhs[:, -1]), (cs, dc.to(cs.dtype))))
        return forward_ad.make_dual(hs[:, 1:], dhs), (h, c)

    def _values(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """a_1 ... a_T, h_0 ... h_T and c_0 ... c_T."""
        gates, hs, cs = [], [h], [c]
        for a in self.inputs(x).unbind(1):
            gates.append(a + F.linear(h, self.W_hh))
            h, c = cell(gates[-1], c)
            hs.append(h)
            cs.append(c)
        return torch.stack(gates, 1), torch.stack(hs, 1), torch.stack(cs, 1)

    def _tangents(self, a: Tensor, cs: Tensor, da: Tensor, dh: Tensor, dc: Tensor) -> tuple[Tensor, Tensor]:
        """dh_1 ... dh_T and dc_T, from all of da_t but W_hh dh."""
        i, f, g, o = gates(a)
        tanh_c = cs[:, 1:].tanh()
        # ∂c_t/∂a_t for the first three gates and ∂h_t/∂a_t for the last.
        slopes = [g * i * (1 - i), cs[:, :-1] * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o)]
        steps = torch.stack(slopes, 2), f, o * (1 - tanh_c * tanh_c), da
        dhs = []
        for slope, forget, through, da_t in zip(*(step.unbind(1) for step in steps), strict=True):
            change = slope * (da_t + F.linear(dh, self.W_hh)).unflatten(-1, (4, -1))
            dc = forget * dc + change[:, :3].sum(1)
            dh = through * dc + change[:, 3]
            dhs.append(dh)
        return torch.stack(dhs, 1), dc


def gates(a: Float[Tensor, "*n g"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """i, f, g and o."""
    i, f, g, o = a.chunk(4, -1)
    return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()


def cell(a: Float[Tensor, "n g"], c: Float[Tensor, "n m"]) -> State:
    """(h_t, c_t) from a_t and c_{t-1}."""
    i, f, g, o = gates(a)
    c = f * c + i * g
    return o * c.tanh(), c
