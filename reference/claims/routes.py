"""The independent routes that claims are checked by: differences, affine systems, exact means over ε.

name       symbol                 shape
x          any argument           (k,)
gradients  E[g], E[g cᵀ]          (m, 1 + h)   of the perturbed loss, in w0 and in Θ
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.objective import TrainingObjective
from reference.claims.instances import Setting
from reference.rule.hypernet import FullResponse
from reference.rule.perturbation import expectation
from reference.rule.updates import Method, perturbed_gradient, response_input

STEP = np.finfo(float).eps ** (1 / 3)

NODES = 12
"""Gauss-Hermite points in each direction: exact to degree 23; for exp(ε) at σ = 1, to rounding."""


def relative_error(actual: Any, desired: Any, *terms: Any) -> float:
    """The largest difference, relative to the largest entry of `desired` and of the `terms` that cancel in it.

    Infinite where anything is not finite: `max`, which gathers residuals, would let a NaN pass.

    Example:
        >>> relative_error(np.array([1.0, 4.5]), np.array([1.0, 5.0]))
        0.1
    """
    if np.shape(actual) != np.shape(desired):
        raise ValueError(f"shapes {np.shape(actual)} and {np.shape(desired)} differ")
    scale = float(np.max([np.max(np.abs(part)) for part in (desired, *terms)]))
    difference = float(np.max(np.abs(np.asarray(actual) - desired)))
    if not np.isfinite([scale, difference]).all():
        return np.inf
    return difference / scale if scale > 0 else difference


def differs(size: float) -> float:
    """A residual of 0 where two forms are seen to differ, by a relative `size` of at least 1e-6, and 1 where not."""
    return float(not size > 1e-6)


def central_difference(function: Callable[[ndarray], Any], x: Float[ndarray, "*shape"]) -> ndarray:
    """∂function/∂x, the axes of x last."""
    columns = []
    for e in np.eye(x.size):
        dx = STEP * e.reshape(x.shape)
        columns.append((np.asarray(function(x + dx)) - function(x - dx)) / (2 * STEP))
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *x.shape)


def affine_root(function: Callable[[ndarray], ndarray], shape: tuple[int, ...]) -> ndarray:
    """The x with function(x) = 0, for an affine function of an array to one of the same size, column by column.

    Example:
        >>> affine_root(lambda x: 2 * x - 6, (1,))
        array([3.])
    """
    zero = np.zeros(shape)
    offset = function(zero)
    columns = [(function(e.reshape(shape)) - offset).ravel() for e in np.eye(zero.size)]
    return -np.linalg.solve(np.stack(columns, axis=-1), offset.ravel()).reshape(shape)


def order(remainder: Callable[[float], ndarray], step: float = 1e-4) -> float:
    """The power of t with which ‖remainder(t)‖ vanishes, between t = step and half that; infinite if that is 0."""
    whole, half = (float(np.linalg.norm(remainder(t))) for t in (step, step / 2))
    return float(np.log2(whole / half)) if whole > 0 and half > 0 else np.inf


def mean_gradients(
    method: Method, train: TrainingObjective, point: Setting, nodes: int = NODES
) -> Float[ndarray, "m one_plus_h"]:
    """The mean over ε of the gradients in w0 and in Θ that the update rule forms from the perturbed loss."""
    response = FullResponse(point.Theta)

    def gradients(eps: Float[ndarray, "h"]) -> Float[ndarray, "m one_plus_h"]:
        c = response_input(method, point.lam, eps)
        g = perturbed_gradient(method, train, point.lam + eps, point.w0, response.apply(c))
        return np.column_stack([g, response.gradient(c, g).Theta])

    return expectation(gradients, point.sigma, nodes)
