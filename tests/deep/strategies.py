"""What the tests of `deep` share: models in double precision, responses away from zero, and a second route to them.

The second route never uses a rule: Δw is written out row by row (`explicit`), and a plain copy of the model is called
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

from deep.hyper.declared import Hyperparameter
from deep.hyper.draws import Draws
from deep.hyper.hyperparameters import Hyperparameters
from deep.responses.row_response import RowResponse
from deep.tuner.gradients import Evaluation, Objective, UpdatePass, gradients
from deep.tuner.hypernet import Hypernetwork
from reference.beyond.control_variate.normalised import per_variance
from reference.rule.hypernet import Response
from reference.rule.structured import LayeredResponse, StructuredResponse
from reference.rule.updates import Method

PARITY = 1e-9
"""Two routes through float64, NumPy's or torch's: relative to the largest entry, by issue and by STYLE."""

torch_seeds = st.integers(0, 2**31 - 1)
batches = st.integers(1, 5)


def close(actual: Any, desired: Any, rtol: float = PARITY) -> None:
    """Equal to within `rtol` of the largest entry of `desired`."""
    actual, desired = (np.asarray(item.detach() if isinstance(item, Tensor) else item) for item in (actual, desired))
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
    for name, _, response in net:
        axis = response.axis
        moved = response.response.movedim(axis, 0) if response.response.ndim else response.response[None]
        rows = torch.stack([(response.U[row] * c).sum() * moved[row] for row in range(len(moved))])
        deltas[name] = rows.movedim(0, axis) if response.response.ndim else rows[0]
    return deltas


def outputs_at(model: nn.Module, weights: Mapping[str, Tensor], deltas: Mapping[str, Tensor], x: Any) -> Any:
    """The outputs of the plain `model` at weights + deltas."""
    moved = {name: weight + deltas[name] if name in deltas else weight for name, weight in weights.items()}
    return functional_call(model, moved, (x,))


def one_by_one(net: Hypernetwork, plain: nn.Module, c: Tensor, x: Tensor) -> Tensor:
    """Row i of the outputs at w + Θc_i, the whole batch being there each time for the batch's statistics."""
    weights = dict(net.model.named_parameters())
    rows = [outputs_at(plain, weights, explicit(net, c_i), x)[i] for i, c_i in enumerate(c.expand(len(x), -1))]
    return torch.stack(rows)


def objective(net: Hypernetwork, loss: Callable[[Any, Any], Tensor] | None = None) -> Objective:
    """The model's outputs and half the mean squared error, or another loss."""
    return Objective(net.model, loss or half_square)


def w0_gradient(net: Hypernetwork, goal: Objective, x: Any, t: Any, n: int, z: Tensor | None = None) -> Evaluation:
    """Eqn. 3.9; with z, table 4's noise."""
    return gradients(UpdatePass("plain" if z is None else "noise", ("w0",)), None, net, goal, z, x, t, n)


def response_gradient(
    method: Method, net: Hypernetwork, goal: Objective, z: Tensor, x: Any, t: Any, n: int
) -> Evaluation:
    """Eqn. 3.10."""
    kind = "linearised" if method.linearised else "weights"
    return gradients(UpdatePass(kind, ("Theta",)), method, net, goal, z, x, t, n)


def joint_gradient(method: Method, net: Hypernetwork, goal: Objective, z: Tensor, x: Any, t: Any, n: int) -> Evaluation:
    """Eqn. 2.5."""
    return gradients(UpdatePass("weights", ("w0", "Theta")), method, net, goal, z, x, t, n)


def differential_gradient(
    method: Method, net: Hypernetwork, goal: Objective, z: Tensor, x: Any, t: Any, n: int
) -> Evaluation:
    """Eqn. 3.9's gradient in w0, and the control variate's in Θ."""
    return gradients(UpdatePass("differential", ("w0", "Theta")), method, net, goal, z, x, t, n)


def half_square(y: Tensor, t: Tensor) -> Tensor:
    """½ ‖y - t‖² summed over outputs and averaged over examples."""
    return (y - t).square().flatten(1).sum(1).mean() / 2


# A reference response from deep's.


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

    def minus(self, alpha: float | ndarray, gradient: Response) -> "Biasless":
        assert isinstance(gradient, Biasless)
        moved = self.whole.minus(alpha, gradient.whole)
        assert isinstance(moved, StructuredResponse)
        return Biasless(moved)


@per_variance.register(Biasless)
def biasless(gradient: Biasless, sigma: ndarray) -> Biasless:
    divided = per_variance(gradient.whole, sigma)
    assert isinstance(divided, StructuredResponse)
    return Biasless(divided)


def reference_layer(weight: RowResponse, bias: RowResponse | None) -> Response:
    """What `reference` calls the response of a dense layer."""
    o, h = weight.U.shape
    b, V = (bias.response, bias.U) if bias is not None else (torch.zeros(o), torch.zeros(o, h))
    whole = StructuredResponse(*(part.detach().double().numpy().copy() for part in (weight.response, b, weight.U, V)))
    return whole if bias is not None else Biasless(whole)


def reference_response(net: Hypernetwork) -> LayeredResponse:
    """The same for a network of dense layers."""
    measured = {name: (w, response) for name, w, response in net}
    layers, sizes = [], []
    for name in (name for name in measured if name.endswith("weight")):
        bias = measured.get(f"{name.removesuffix('weight')}bias")
        layers.append(reference_layer(measured[name][1], None if bias is None else bias[1]))
        sizes.append(measured[name][0].numel() + (0 if bias is None else bias[0].numel()))
    return LayeredResponse(tuple(layers), tuple(sizes))


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
    return np.concatenate([tensor.detach().clone().numpy().reshape(-1) for tensor in tensors])
