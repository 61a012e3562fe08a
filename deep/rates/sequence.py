"""What H.3 drops in a language model beside single numbers: one mask for all time steps, or for a batch's weights.

name     symbol      shape
mask     (u ≥ p)/q   (n, 1, m)   variational dropout of (n, T, m)
                     (4H, H)     DropConnect, on W_hh and on its W_response alike
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

State = tuple[Tensor, Tensor]


class WeightDropout(nn.Dropout):
    """Dropout of what all examples share, such as weights (DropConnect): one mask, and so one rate, a batch."""


class VariationalDropout(nn.Dropout):
    """Dropout of (n, T, m) with one mask for all T steps of an example."""

    def forward(self, input: Tensor) -> Tensor:
        return input * F.dropout(torch.ones_like(input[:, :1]), self.p, self.training)


class DropConnectLSTM(nn.LSTM):
    """A one-layer nn.LSTM, examples first, that draws one mask on its hidden-to-hidden weights for each pass.

    Args:
        dropconnect: gives the mask, from ones; LSTMs may share it, and with it one rate. The rate is the batch's, so
            declare it with per="batch".
    """

    def __init__(self, input_size: int, hidden_size: int, dropconnect: WeightDropout) -> None:
        super().__init__(input_size, hidden_size, batch_first=True)
        self.dropconnect = dropconnect

    def mask(self) -> Float[Tensor, "g m"]:
        """A new draw."""
        return self.dropconnect(torch.ones_like(self.get_parameter("weight_hh_l0")))

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: State | None = None
    ) -> tuple[Tensor, State]:
        h, c = hx or [input.new_zeros(1, len(input), self.hidden_size)] * 2
        W_ih, W_hh, *b = self.parameters(recurse=False)
        weights = [W_ih, W_hh * self.mask(), *b]
        y, h, c = torch.lstm(input, [h, c], weights, True, 1, 0.0, self.training, False, True)
        return y, (h, c)
