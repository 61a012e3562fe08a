"""Eqn. 3.11: networks v = f(w) with their products with the weight-output Jacobian J_vw = ∂f/∂w.

name        symbol                shape
w, dw       w, Δw                 (..., m)
v, g        v, ∂L/∂v              (..., k)
jvp         J_vw Δw               (..., k)      forward mode
vjp         J_vwᵀ g               (..., m)      reverse mode
pull_back   J_vwᵀ H J_vw          (..., m, m)   a Gauss-Newton matrix, from H = ∂²L/∂v²
curvature   Σ_i g_i ∂²v_i/∂w²     (..., m, m)   what it leaves out
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


class Network(ABC):
    """A differentiable map from weights to outputs, at fixed inputs."""

    @abstractmethod
    def __call__(self, w: Float[ndarray, "... m"]) -> Float[ndarray, "... k"]:
        """v = f(w)."""

    @abstractmethod
    def jvp(self, w: Float[ndarray, "... m"], dw: Float[ndarray, "... m"]) -> Float[ndarray, "... k"]:
        """J_vw Δw: the change of the outputs, to first order, when the weights move by Δw."""

    @abstractmethod
    def vjp(self, w: Float[ndarray, "... m"], g: Float[ndarray, "... k"]) -> Float[ndarray, "... m"]:
        """J_vwᵀ g: the gradient in the weights of a loss whose gradient in the outputs is g."""

    def pull_back(self, w: Float[ndarray, "... m"], H: Float[ndarray, "... k k"]) -> Float[ndarray, "... m m"]:
        """J_vwᵀ H J_vw: the second derivative in the weights where the network is linear, of a loss whose own is H."""
        J = self.jacobian(w)
        return J.mT @ H @ J

    @abstractmethod
    def curvature(self, w: Float[ndarray, "... m"], g: Float[ndarray, "... k"]) -> Float[ndarray, "... m m"]:
        """Σ_i g_i ∂²v_i/∂w²."""

    def curvature_vec(
        self, w: Float[ndarray, "... m"], g: Float[ndarray, "... k"], dw: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... m"]:
        """Σ_i g_i ∂²v_i/∂w² Δw."""
        return np.matvec(self.curvature(w, g), dw)

    def jacobian(self, w: Float[ndarray, "... m"]) -> Float[ndarray, "... k m"]:
        """J_vw, column by column from `jvp`."""
        return self.jvp(w[..., None, :], np.eye(w.shape[-1])).mT


@dataclass(frozen=True)
class Identity(Network):
    """v = w: a linear model whose inputs sit in the loss."""

    def __call__(self, w: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return w

    def jvp(self, w: Float[ndarray, "... m"], dw: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return dw

    def vjp(self, w: Float[ndarray, "... m"], g: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        return g

    def pull_back(self, w: Float[ndarray, "... m"], H: Float[ndarray, "... m m"]) -> Float[ndarray, "... m m"]:
        return np.broadcast_to(H, (*np.broadcast_shapes(w.shape[:-1], H.shape[:-2]), *H.shape[-2:]))

    def curvature(self, w: Float[ndarray, "... m"], g: Float[ndarray, "... m"]) -> Float[ndarray, "... m m"]:
        return np.zeros((*w.shape, w.shape[-1]))

    def curvature_vec(
        self, w: Float[ndarray, "... m"], g: Float[ndarray, "... m"], dw: Float[ndarray, "... m"]
    ) -> Float[ndarray, "... m"]:
        return np.zeros_like(dw)
