"""The training loss L_T(λ, w) as the update rules see it: a network f and a loss of its outputs, L_T(λ, f(w)).

name     symbol   shape       meaning
lam      λ        (..., h)    hyperparameters, unconstrained
w        w        (..., m)    weights
f        f        m -> k      the network: v = f(w), all that the losses see of w
v        v        (..., k)    outputs
"""

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import Any, TypeVar, cast

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy import ndarray

from reference.bilevel.networks import Identity, Network

Objective = TypeVar("Objective", bound="TrainingObjective")

Scalars = Float[ndarray, "..."] | np.floating
"""One number for each replicate; NumPy gives a bare scalar where there is no leading axis."""


LARGEST = 1e150
"""Of data: sums of squares stay finite."""


def minibatch(
    X: Float[ndarray, "... n m"], t: Shaped[ndarray, "... n"], rows: Int[ndarray, "... b"]
) -> tuple[Float[ndarray, "... b m"], Shaped[ndarray, "... b"]]:
    """X and t cut to rows 0 ≤ i < n: the same ones for every replicate (b,), or for each its own (R, b)."""
    if rows.ndim == 1:
        return X[..., rows, :], t[..., rows]
    R, n, m = X.shape
    # Taken from all replicates at once: this is where small problems spend their time.
    among_all = n * np.arange(R)[:, None] + rows
    return X.reshape(R * n, m).take(among_all, axis=0), t.reshape(R * n).take(among_all)


def real(name: str, values: Shaped[ndarray, "..."]) -> Float[ndarray, "..."]:
    """The values in float64.

    Raises:
        ValueError: one is NaN, infinite or beyond LARGEST, or they are not real numbers.
    """
    if np.iscomplexobj(values):
        raise ValueError(f"{name} is complex; real numbers are needed")
    exact = np.asarray(values, dtype=float)
    if not np.isfinite(exact).all():
        raise ValueError(f"{name} holds NaN or infinity")
    if (np.abs(exact) > LARGEST).any():
        raise ValueError(f"{name} holds numbers beyond {LARGEST:.0e}, whose squares are not finite; scale them")
    return exact


def unchecked(problem: Objective, **arrays: Shaped[ndarray, "..."]) -> Objective:
    """The problem with a part of its rows, which were checked with it and need no second check at each step."""
    part = object.__new__(type(problem))
    vars(part).update({field.name: getattr(problem, field.name) for field in fields(cast(Any, problem))} | arrays)
    return part


class TrainingObjective(ABC):
    """L_T on the whole training set, on a mini-batch, or with dropout masks drawn."""

    f: Network = Identity()

    @abstractmethod
    def train_loss_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Scalars:
        """L_T(λ, v)."""

    @abstractmethod
    def train_grad_v(self, lam: Float[ndarray, "... h"], v: Float[ndarray, "... k"]) -> Float[ndarray, "... k"]:
        """∂L_T/∂v."""

    def train_loss(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Scalars:
        """L_T(λ, w)."""
        return self.train_loss_v(lam, self.f(w))

    def grad_w(self, lam: Float[ndarray, "... h"], w: Float[ndarray, "... m"]) -> Float[ndarray, "... m"]:
        """∂L_T/∂w = J_vwᵀ ∂L_T/∂v."""
        return self.f.vjp(w, self.train_grad_v(lam, self.f(w)))
