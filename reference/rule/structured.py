"""Eqn. 3.14 and E.1: W_θ = W_general + (U(λ - λ0)) ⊙_row W_response, b_θ = b_general + (V(λ - λ0)) ⊙ b_response.

    name         symbol            shape (dense)         shape (convolution)
    W_response   W_response        (..., o, i)           (..., C_i, C_{i-1} K K)   one row for each unit or filter
    b_response   b_response        (..., o)              (..., C_i)
    U, V         U, V              (..., o, h)           (..., C_i, h)             u, v of E.1 are their rows

A convolution's kernels, flattened, are the rows of a dense layer, so that E.1 is Eqn. 3.14 once more; the paper
states 3.14's shapes for W transposed (m_i × m_{i+1}) but scales one unit's weights together, which is a row here.
The layer's weights in the flat vector w are W, row after row, then b.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.rule.hypernet import Response


@dataclass(frozen=True)
class StructuredResponse(Response):
    """Eqn. 3.14 for one layer: linear in λ - λ0, so a special case of Eqn. 3.1 with a structured Θ (`Theta`).

    Example, one unit with two inputs and one hyperparameter:
        >>> layer = StructuredResponse(*map(np.array, ([[1.0, 2.0]], [3.0], [[10.0]], [[100.0]])))
        >>> layer.apply(np.array([1.0]))
        array([ 10.,  20., 300.])
    """

    W_response: Float[ndarray, "... o i"]
    b_response: Float[ndarray, "... o"]
    U: Float[ndarray, "... o h"]
    V: Float[ndarray, "... o h"]

    def split(self, w: Float[ndarray, "... p"]) -> tuple[Float[ndarray, "... o i"], Float[ndarray, "... o"]]:
        """The flat weights as (W, b)."""
        o, i = self.W_response.shape[-2:]
        return w[..., : o * i].reshape(*w.shape[:-1], o, i), w[..., o * i :]

    def flat(self, W: Float[ndarray, "... o i"], b: Float[ndarray, "... o"]) -> Float[ndarray, "... p"]:
        """The inverse of `split`."""
        return np.concatenate([W.reshape(*W.shape[:-2], -1), b], axis=-1)

    def apply(self, c: Float[ndarray, "... h"]) -> Float[ndarray, "... p"]:
        """(Uc) ⊙_row W_response and (Vc) ⊙ b_response."""
        return self.flat(
            np.matvec(self.U, c)[..., None] * self.W_response,
            np.matvec(self.V, c) * self.b_response,
        )

    def gradient(self, c: Float[ndarray, "... h"], g: Float[ndarray, "... p"]) -> "StructuredResponse":
        """The chain rule through `apply`."""
        G_W, g_b = self.split(g)
        return StructuredResponse(
            W_response=np.matvec(self.U, c)[..., None] * G_W,
            b_response=np.matvec(self.V, c) * g_b,
            U=np.sum(G_W * self.W_response, axis=-1)[..., None] * c[..., None, :],
            V=(g_b * self.b_response)[..., None] * c[..., None, :],
        )

    def adjoint(self, g: Float[ndarray, "... p"]) -> Float[ndarray, "... h"]:
        """Θᵀg = Uᵀ (row sums of G_W ⊙ W_response) + Vᵀ (g_b ⊙ b_response)."""
        G_W, g_b = self.split(g)
        return np.vecmat(np.sum(G_W * self.W_response, axis=-1), self.U) + np.vecmat(g_b * self.b_response, self.V)

    @property
    def Theta(self) -> Float[ndarray, "... p h"]:
        """The full Θ of Eqn. 3.1 that this structure stands for, column by column."""
        return np.moveaxis(np.stack([self.apply(c) for c in np.eye(self.U.shape[-1])]), 0, -1)


@dataclass(frozen=True)
class LayeredResponse(Response):
    """One response for each layer of a network, whose weights follow one another in the flat vector w.

    Args:
        layers: the responses.
        sizes: how many weights each layer has.
    """

    layers: tuple[Response, ...]
    sizes: tuple[int, ...]

    def split(self, w: Float[ndarray, "... m"]) -> list[ndarray]:
        """The flat weights, layer by layer."""
        return np.split(w, np.cumsum(self.sizes)[:-1], axis=-1)

    def apply(self, c: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        return np.concatenate([layer.apply(c) for layer in self.layers], axis=-1)

    def gradient(self, c: Float[ndarray, "... h"], g: Float[ndarray, "... m"]) -> "LayeredResponse":
        """Layer by layer."""
        parts = zip(self.layers, self.split(g), strict=True)
        return LayeredResponse(tuple(layer.gradient(c, g_i) for layer, g_i in parts), self.sizes)

    def adjoint(self, g: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        """The sum of the layers' Θᵀg."""
        return np.sum([layer.adjoint(g_i) for layer, g_i in zip(self.layers, self.split(g), strict=True)], axis=0)

    def minus(self, alpha: float | Float[ndarray, "..."], gradient: Response) -> "LayeredResponse":
        """Layer by layer."""
        assert isinstance(gradient, LayeredResponse)
        pairs = zip(self.layers, gradient.layers, strict=True)
        return LayeredResponse(tuple(layer.minus(alpha, g) for layer, g in pairs), self.sizes)


def dense_parameters(m_in: int, m_out: int, h: int) -> tuple[int, int]:
    """Section 3.4: m_{i+1}(2m_i + h) numbers for a dense layer's weights and m_{i+1}(2 + h) for its bias."""
    return m_out * (2 * m_in + h), m_out * (2 + h)


def convolution_parameters(c_in: int, c_out: int, kernel: int, h: int) -> int:
    """Appendix E: 2p + 2hC_i numbers for a convolution of p ordinary parameters."""
    p = c_out * (c_in * kernel**2 + 1)
    return 2 * p + 2 * h * c_out
