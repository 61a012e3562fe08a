"""Θ's step divided by σ²: column j's curvature is σ_j² G_w (Observation 1), so every column then moves at w0's rate.

name       symbol     shape
sigma      σ          (..., h)     perturbation scale
response   Θ          a Response   how the weights follow λ

What follows one λ_j is divided by its σ_j²; what serves all of them, as 3.14's W_response does, by the mean of σ².
"""

from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.rule.hypernet import FullResponse, Response
from reference.rule.structured import LayeredResponse, StructuredResponse


def root_mean_square(sigma: Float[ndarray, "... h"]) -> Float[ndarray, "... 1"]:
    """(mean of σ_j²)^½, also where σ² is 0 in float64."""
    largest = sigma.max(axis=-1, keepdims=True)
    return largest * np.sqrt(np.mean((sigma / largest) ** 2, axis=-1, keepdims=True))


@singledispatch
def per_variance(gradient: Response, sigma: Float[ndarray, "... h"]) -> Response:
    """A gradient in a response's parameters, in its own form, with what follows λ_j divided by σ_j².

    Raises:
        TypeError: the response is of a kind for which this is not written.
    """
    raise TypeError(f"no rule divides a {type(gradient).__name__}'s gradient by σ²: register one with per_variance")


# Twice by σ, for σ² may be 0 in float64.


@per_variance.register(FullResponse)
def full(gradient: FullResponse, sigma: Float[ndarray, "... h"]) -> FullResponse:
    """Column by column."""
    return FullResponse(gradient.Theta / sigma[..., None, :] / sigma[..., None, :])


@per_variance.register(StructuredResponse)
def structured(gradient: StructuredResponse, sigma: Float[ndarray, "... h"]) -> StructuredResponse:
    """U and V column by column; W_response and b_response, which serve every λ_j, by the mean of σ².

    Their gradient is (Uε) ⊙ G, of the size of σ² as U's is: left as it is, they would stay where they were drawn.
    """
    common, each = root_mean_square(sigma), sigma[..., None, :]
    return StructuredResponse(
        W_response=gradient.W_response / common[..., None] / common[..., None],
        b_response=gradient.b_response / common / common,
        U=gradient.U / each / each,
        V=gradient.V / each / each,
    )


@per_variance.register(LayeredResponse)
def layered(gradient: LayeredResponse, sigma: Float[ndarray, "... h"]) -> LayeredResponse:
    """Layer by layer."""
    return replace(gradient, layers=tuple(per_variance(layer, sigma) for layer in gradient.layers))


@dataclass(frozen=True)
class Normalised(Response):
    """The same map as `response`; its gradient comes divided by σ², so that Alg. 1's step on Θ does.

    Example, ε = g = 1 and σ = 1/2: gεᵀ is 1 and the step that Alg. 1 makes with it is divided by 1/4:
        >>> ones = np.ones(1)
        >>> Normalised(FullResponse(np.zeros((1, 1))), ones / 2).gradient(ones, ones)
        FullResponse(Theta=array([[4.]]))
    """

    response: Response
    sigma: Float[ndarray, "... h"]

    def apply(self, c: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        return self.response.apply(c)

    def adjoint(self, g: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        return self.response.adjoint(g)

    def gradient(self, c: Float[ndarray, "... h"], g: Float[ndarray, "... m"]) -> Response:
        """The response's own, divided by σ²."""
        return per_variance(self.response.gradient(c, g), self.sigma)

    def minus(self, alpha: float | Float[ndarray, "..."], gradient: Response) -> "Normalised":
        """A step of the response within."""
        return replace(self, response=self.response.minus(alpha, gradient))
