"""Eqn. 3.14 and E.1 on PyTorch's layers: what a response adds to each layer's output, as scale ⊙ product + offset.

layer          a row of W_response               product
Linear         a unit's weights                  W_response x
Conv1d, 2d     a filter                          W_response * x
BatchNorm      a channel's γ, and its β          the normalised input
Embedding      a coordinate, for all words       W_response's rows of the words
"""

from typing import Any, ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deep.hyperparameters import Hyperparameters
from deep.parallel import processes
from deep.shared_norm import SharedNorm, normalised
from deep.structured import Branch
from reference.command import UserError


class LinearBranch(Branch[nn.Linear]):
    """Eqn. 3.14; an input of (n, ..., m_in) has the same c along the axes between."""

    def change(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        weight = self.of("weight")
        scale = _between(weight.scale(c), x.ndim)
        offset = None
        if self.layer.bias is not None:
            bias = self.of("bias")
            offset = _between(bias.scale(c) * bias.response, x.ndim)
        return scale, F.linear(x, weight.response), offset

    def dual(self, x: Tensor, dx: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self._own(x), None if dx is None else F.linear(dx, self.layer.weight)


class ConvBranch(Branch[nn.Conv1d | nn.Conv2d]):
    """E.1: a filter is a row."""

    def change(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        weight = self.of("weight")
        product = self.layer._conv_forward(x, weight.response, None)
        offset = None
        if self.layer.bias is not None:
            bias = self.of("bias")
            offset = (bias.scale(c) * bias.response).reshape(len(c), -1, *[1] * (x.ndim - 2))
        return weight.scale(c, x.ndim), product, offset

    def dual(self, x: Tensor, dx: Tensor | None) -> tuple[Tensor, Tensor | None]:
        return self._own(x), None if dx is None else self.layer._conv_forward(dx, self.layer.weight, None)


class BatchNormBranch(Branch[nn.BatchNorm1d | nn.BatchNorm2d]):
    """Eqn. 3.14 with rows of one weight: a channel's γ and β. The normalised input is another call without them."""

    def __init__(self, layer: nn.BatchNorm1d | nn.BatchNorm2d, hyper: Hyperparameters) -> None:
        super().__init__(layer, hyper)
        if processes() > 1:
            self._own = SharedNorm(layer, hyper).forward

    def change(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        layer, gamma, beta = self.layer, self.of("weight"), self.of("bias")
        own = not layer.training and layer.running_mean is not None
        if own:
            product = F.batch_norm(x, layer.running_mean, layer.running_var, eps=layer.eps)
        else:
            product = normalised(x, layer.eps, self._hyper)
        dims = (len(c), -1, *[1] * (x.ndim - 2))
        scale = (gamma.scale(c) * gamma.response).reshape(dims)
        return scale, product, (beta.scale(c) * beta.response).reshape(dims)


class EmbeddingBranch(Branch[nn.Embedding]):
    """Eqn. 3.14 for a dense layer on one-hot rows: a row of W is a coordinate of the embedding.

    Raises:
        UserError: an embedding with max_norm, which shortens w0's rows in each pass and knows of no response.
    """

    row_axis: ClassVar[dict[str, int]] = {"weight": 1}

    def __init__(self, layer: nn.Embedding, hyper: Hyperparameters) -> None:
        if layer.max_norm is not None:
            instead = "remove max_norm, or leave it without a response (without_response)"
            raise UserError(f"no response is known for an nn.Embedding with max_norm; {instead}")
        super().__init__(layer, hyper)

    def change(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        weight = self.of("weight")
        return _between(weight.scale(c), x.ndim + 1), F.embedding(x, weight.response, self.layer.padding_idx), None


def _between(scale: Float[Tensor, "n rows"], dims: int) -> Tensor:
    """(n, rows) as (n, 1, ..., 1, rows)."""
    return scale.reshape(len(scale), *[1] * (dims - 2), -1)


BRANCHES: dict[type[nn.Module], type[Branch[Any]]] = {
    nn.Linear: LinearBranch,
    nn.Conv1d: ConvBranch,
    nn.Conv2d: ConvBranch,
    nn.BatchNorm1d: BatchNormBranch,
    nn.BatchNorm2d: BatchNormBranch,
    nn.Embedding: EmbeddingBranch,
}


def register(layer: type[nn.Module], branch: type[Branch[Any]]) -> None:
    """Treat layers of exactly this type with this branch from now on."""
    BRANCHES[layer] = branch
