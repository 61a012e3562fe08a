"""λ, or the weights, as a module: what libraries that tune modules ask for."""

import torch
from torch import nn


class Vector(nn.Module):
    """A module that holds a vector and returns it."""

    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value.clone())

    def forward(self) -> torch.Tensor:
        return self.value
