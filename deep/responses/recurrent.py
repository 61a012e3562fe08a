"""LSTM, GRU and RNN as loops over time out of linear operations, where no fused kernel serves.

    a_t = W_ih x_t + b_ih,   g_t = W_hh h_{t-1} + b_hh                   (n, gates)
    LSTM   i, f, g, o = a_t + g_t;   c_t = σ(f) c_{t-1} + σ(i) tanh(g),   h_t = σ(o) tanh(c_t), projected by W_hr
    GRU    r, z of a_t + g_t;        h_t = (1 - z) tanh(a^n + r g^n) + z h_{t-1}
    RNN    h_t = tanh(a_t + g_t), or its positive part

A weight in these may respond, values may carry tangents, and the drop rate between layers may be a hyperparameter.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]
Cell = Callable[[Tensor, Tensor, State], State]


def lstm_cell(a: Tensor, g: Tensor, state: State) -> State:
    """(h_t, c_t)."""
    i, f, new, o = (a + g).chunk(4, -1)
    c = f.sigmoid() * state[1] + i.sigmoid() * new.tanh()
    return o.sigmoid() * c.tanh(), c


def gru_cell(a: Tensor, g: Tensor, state: State) -> State:
    """(h_t,)."""
    (a_r, a_z, a_n), (g_r, g_z, g_n) = a.chunk(3, -1), g.chunk(3, -1)
    z = (a_z + g_z).sigmoid()
    new = (a_n + (a_r + g_r).sigmoid() * g_n).tanh()
    return (new + z * (state[0] - new),)


def rnn_cell(activation: Callable[[Tensor], Tensor], a: Tensor, g: Tensor, _state: State) -> State:
    """(h_t,)."""
    return (activation(a + g),)


def step(cell: Cell, x: Tensor, hx: Any, W_ih: Tensor, W_hh: Tensor, b_ih: Any = None, b_hh: Any = None) -> Any:
    """What torch.lstm_cell, torch.gru_cell and torch.rnn_*_cell return."""
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    state = cell(F.linear(x, W_ih, b_ih), F.linear(state[0], W_hh, b_hh), state)
    return state[0] if isinstance(hx, Tensor) else state


def layers(
    cell: Cell,
    x: Tensor,
    hx: Any,
    weights: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
) -> tuple[Tensor, ...]:
    """What torch.lstm, torch.gru and torch.rnn_* return; examples come first inside."""
    starts = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    directions = 2 if bidirectional else 1
    width = len(weights) // (num_layers * directions)
    x = x if batch_first else x.transpose(0, 1)
    ends = []
    for k in range(num_layers):
        outputs = []
        for d in range(directions):
            index = k * directions + d
            part = weights[index * width : (index + 1) * width]
            y, end = _direction(cell, x, tuple(start[index] for start in starts), part, has_biases, d == 1)
            outputs.append(y)
            ends.append(end)
        x = torch.cat(outputs, -1) if directions > 1 else outputs[0]
        if k < num_layers - 1 and train:
            x = F.dropout(x, dropout)
    x = x if batch_first else x.transpose(0, 1)
    return x, *(torch.stack(parts) for parts in zip(*ends, strict=True))


def _direction(
    cell: Cell, x: Tensor, state: State, weights: Sequence[Tensor], has_biases: bool, backwards: bool
) -> tuple[Tensor, State]:
    W_ih, W_hh, *others = weights
    b_ih, b_hh = others[:2] if has_biases else (None, None)
    projection = others[2:] if has_biases else others
    steps = F.linear(x, W_ih, b_ih).unbind(1)
    hs = []
    for a in reversed(steps) if backwards else steps:
        state = cell(a, F.linear(state[0], W_hh, b_hh), state)
        if projection:
            state = (F.linear(state[0], projection[0]), *state[1:])
        hs.append(state[0])
    return torch.stack(hs[::-1] if backwards else hs, 1), state


_CELLS: dict[str, Cell] = {
    "lstm": lstm_cell,
    "gru": gru_cell,
    "rnn_tanh": partial(rnn_cell, torch.tanh),
    "rnn_relu": partial(rnn_cell, torch.relu),
}
RECURRENT: dict[Any, Callable[..., Any]] = {
    **{getattr(torch, name): partial(layers, cell) for name, cell in _CELLS.items()},
    **{getattr(torch, f"{name}_cell"): partial(step, cell) for name, cell in _CELLS.items()},
}
