"""What the tests of `deep` share: models in double precision, responses away from zero, and a second route to them.

The second route never uses a branch: Δw is written out row by row (`explicit`), and a plain copy of the model is called
with w + Δw by torch.func.functional_call, one example after another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy import ndarray
from torch import Tensor, nn
from torch.func import functional_call

from deep.declared import Hyperparameter
from deep.draws import Draws
from deep.hypernet import Hypernetwork
from deep.hyperparameters import Hyperparameters
from deep.structured import Branch
from deep.updates import Objective
from reference.hypernet import Response
from reference.structured import LayeredResponse, StructuredResponse

PARITY = 1e-9
"""Two routes through float64, NumPy's or torch's: relative to the largest entry, by issue and by STYLE."""

torch_seeds = st.integers(0, 2**31 - 1)
batches = st.integers(1, 5)


def close(actual: Any, desired: Any, rtol: float = PARITY) -> None:
    """Equal to within `rtol` of the largest entry of `desired`."""
    actual, desired = (np.asarray(one.detach() if isinstance(one, Tensor) else one) for one in (actual, desired))
    np.testing.assert_allclose(actual, desired, rtol=rtol, atol=rtol * np.abs(desired).max(initial=1e-3))


def two(count: int = 2) -> Hyperparameters:
    """Hyperparameters "a", "b", ... whose value is λ itself."""
    return Hyperparameters([Hyperparameter(name, start=0.3, low=-np.inf) for name in "abcdef"[:count]], sigma=0.7)


def attach(model: nn.Module, hyper: Hyperparameters | None = None, seed: int = 0, **options: Any) -> Hypernetwork:
    """The model in float64 with responses away from zero."""
    net = Hypernetwork(model.double(), hyper or two(), draws(seed), **options)
    randomise(net)
    return net


def draws(seed: int = 0) -> Draws:
    """Draws from a generator of its own."""
    return Draws(torch.Generator().manual_seed(seed))


def randomise(net: Hypernetwork) -> None:
    """All of U, V and the responses standard normal, times 0.5 so that nothing saturates."""
    with torch.no_grad():
        for parameter in net.Theta:
            parameter.normal_(std=0.5)


def explicit(net: Hypernetwork, c: Tensor) -> dict[str, Tensor]:
    """Δw of every weight that responds, by name, for one c (h,): Eqn. 3.14 written out row by row."""
    deltas = {}
    for layer_name, branch in net.named():
        for name, _ in branch.layer.named_parameters(recurse=False):
            one = branch.of(name)
            moved = one.response.movedim(one.axis, 0)
            rows = torch.stack([(one.U[row] * c).sum() * moved[row] for row in range(len(moved))])
            deltas[f"{layer_name}.{name}".lstrip(".")] = rows.movedim(0, one.axis)
    return deltas


def at(model: nn.Module, weights: Mapping[str, Tensor], deltas: Mapping[str, Tensor], x: Any) -> Any:
    """The outputs of the plain `model` at weights + deltas."""
    moved = {name: weight + deltas[name] if name in deltas else weight for name, weight in weights.items()}
    return functional_call(model, moved, (x,))


def one_by_one(net: Hypernetwork, plain: nn.Module, c: Tensor, x: Tensor) -> Tensor:
    """Row i of the outputs at w + Θc_i, the whole batch being there each time for the batch's statistics."""
    weights = dict(net.model.named_parameters())
    rows = [at(plain, weights, explicit(net, c_i), x)[i] for i, c_i in enumerate(c.expand(len(x), -1))]
    return torch.stack(rows)


def objective(net: Hypernetwork, loss: Callable[[Any, Any], Tensor] | None = None) -> Objective:
    """The model's outputs and half the mean squared error, or another loss."""
    return Objective(net.model, loss or half_square)


def half_square(y: Tensor, t: Tensor) -> Tensor:
    """½ ‖y - t‖² summed over outputs and averaged over examples."""
    return (y - t).square().flatten(1).sum(1).mean() / 2


# A reference response from branches.


@dataclass(frozen=True)
class Biasless(Response):
    """A structured response of a layer without a bias: `reference`'s, with the bias's part cut off."""

    whole: StructuredResponse

    def apply(self, c: ndarray) -> ndarray:
        return self.whole.apply(c)[..., : self.whole.W_response[..., 0, :].shape[-1] * self.o]

    @property
    def o(self) -> int:
        return self.whole.W_response.shape[-2]

    def padded(self, g: ndarray) -> ndarray:
        return np.concatenate([g, np.zeros((*g.shape[:-1], self.o))], axis=-1)

    def gradient(self, c: ndarray, g: ndarray) -> "Biasless":
        return Biasless(self.whole.gradient(c, self.padded(g)))

    def adjoint(self, g: ndarray) -> ndarray:
        return self.whole.adjoint(self.padded(g))

    def per_variance(self, sigma: ndarray) -> "Biasless":
        return Biasless(self.whole.per_variance(sigma))

    def minus(self, alpha: float | ndarray, gradient: Response) -> "Biasless":
        assert isinstance(gradient, Biasless)
        moved = self.whole.minus(alpha, gradient.whole)
        assert isinstance(moved, StructuredResponse)
        return Biasless(moved)


def reference_layer(branch: Branch[Any]) -> Response:
    """What `reference` calls the response of a dense layer."""
    weight, bias = branch.of("weight"), "bias" in branch.responses
    o, h = weight.U.shape
    b, V = (branch.of("bias").response, branch.of("bias").U) if bias else (torch.zeros(o), torch.zeros(o, h))
    whole = StructuredResponse(*(one.detach().double().numpy().copy() for one in (weight.response, b, weight.U, V)))
    return whole if bias else Biasless(whole)


def reference_response(net: Hypernetwork) -> LayeredResponse:
    """The same for a network of dense layers."""
    sizes = tuple(sum(p.numel() for p in branch.layer.parameters()) for branch in net)
    return LayeredResponse(tuple(reference_layer(branch) for branch in net), sizes)


def reference_arrays(response: Response) -> list[ndarray]:
    """The arrays of a reference response in the order of `Hypernetwork.Theta`: W_response, U, b_response, V."""
    if isinstance(response, LayeredResponse):
        return [array for layer in response.layers for array in reference_arrays(layer)]
    if isinstance(response, Biasless):
        return [response.whole.W_response, response.whole.U]
    assert isinstance(response, StructuredResponse)
    return [response.W_response, response.U, response.b_response, response.V]


def flat(tensors: Any) -> ndarray:
    """Parameters or gradients as one vector."""
    return np.concatenate([one.detach().clone().numpy().reshape(-1) for one in tensors])
