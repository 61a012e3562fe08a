"""Eqns. 2.6, 3.1 and 3.14: the best-response hypernetwork, a linear map from a perturbation to a change of weights.

    name       symbol               shape
    Theta      Θ (or Φ)             (..., m, h)     full response
    c          λ - λ0 = ε, or λ     (..., h)        what the response multiplies: centred (3.1), or not (2.6)
    dw         Δw = Θc              (..., m)
    g          ∂L/∂Δw               (..., m)

A response answers three questions: Δw = Θc (`apply`), the gradient in its own parameters (`gradient`), and Θᵀg
(`adjoint`), the response gradient of Eqn. 2.4. Its parameters' gradients, which have its own form, are descended by
`minus`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


class Response(ABC):
    """A linear map from hyperparameters to weights; the fields of a subclass that are arrays are its parameters."""

    @abstractmethod
    def apply(self, c: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        """Δw = Θc."""

    @abstractmethod
    def gradient(self, c: Float[ndarray, "... h"], g: Float[ndarray, "... m"]) -> "Response":
        """The gradient of L(Θc) in the parameters, given g = ∂L/∂Δw, in the same form as the response itself."""

    @abstractmethod
    def adjoint(self, g: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        """Θᵀg."""

    def minus(self, alpha: float | Float[ndarray, "..."], gradient: "Response") -> "Response":
        """The response after a step of gradient descent of size alpha, field by field (an array broadcasts to each)."""
        steps = {name: value - alpha * getattr(gradient, name) for name, value in vars(self).items()}
        return type(self)(**steps)


@dataclass(frozen=True)
class FullResponse(Response):
    """Eqn. 3.1: an unstructured Θ.

    Example:
        >>> response = FullResponse(np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]))
        >>> response.apply(np.array([1.0, 10.0]))
        array([21., 10.,  3.])
        >>> response.adjoint(np.array([1.0, 1.0, 1.0]))
        array([4., 3.])
    """

    Theta: Float[ndarray, "... m h"]

    def apply(self, c: Float[ndarray, "... h"]) -> Float[ndarray, "... m"]:
        return np.matvec(self.Theta, c)

    def gradient(self, c: Float[ndarray, "... h"], g: Float[ndarray, "... m"]) -> "FullResponse":
        """g cᵀ."""
        return FullResponse(g[..., :, None] * c[..., None, :])

    def adjoint(self, g: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        return np.vecmat(g, self.Theta)


def uncentred_weights(
    Phi: Float[ndarray, "... m h"], phi0: Float[ndarray, "... m"], lam: Float[ndarray, "... h"]
) -> Float[ndarray, "... m"]:
    """Eqn. 2.6: r_φ(λ) = Φλ + φ0."""
    return np.matvec(Phi, lam) + phi0


def centred_weights(
    Theta: Float[ndarray, "... m h"],
    w0: Float[ndarray, "... m"],
    lam: Float[ndarray, "... h"],
    lam0: Float[ndarray, "... h"],
) -> Float[ndarray, "... m"]:
    """Eqn. 3.1: r_θ(λ, λ0) = Θ(λ - λ0) + w0. The same map as Eqn. 2.6 with Φ = Θ and φ0 = w0 - Θλ0."""
    return np.matvec(Theta, lam - lam0) + w0


def homogeneous(lam: Float[ndarray, "... h"]) -> Float[ndarray, "... h1"]:
    """λ̄: λ with a coordinate 1 appended, for the offset (section 3.1)."""
    return np.concatenate([lam, np.ones_like(lam[..., :1])], axis=-1)


def second_moment(lam: Float[ndarray, "... h"], sigma: Float[ndarray, "... h"]) -> Float[ndarray, "... h1 h1"]:
    """Eqn. 3.5: E[λ̂λ̂ᵀ] = diag(σ², 0) + λ̄λ̄ᵀ. Centred, λ = 0 and only diag(σ², 1) is left.

    Example:
        >>> second_moment(np.array([3.0]), np.array([0.5]))
        array([[9.25, 3.  ],
               [3.  , 1.  ]])
    """
    bar = homogeneous(lam)
    variance = np.concatenate([sigma**2, np.zeros_like(sigma[..., :1])], axis=-1)
    return variance[..., None] * np.eye(bar.shape[-1]) + bar[..., :, None] * bar[..., None, :]
