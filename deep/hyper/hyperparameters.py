"""Eqn. 2.7 and appendix F: the unconstrained λ behind declared hyperparameters, and the scale σ of ε.

    name        symbol     shape
    lam         λ          (h,)             unconstrained; s(λ) is what a person reads
    raw_sigma   -          (h,)             σ = softplus(raw_sigma) is a standard deviation
    eps         ε = σz     (n, h), (1, h)   one for each example, or one for the batch
    c           ε or λ+ε   (n, h), (1, h)   what the response multiplies

Losses, transforms and modules read a value by name, `hyper["rate"]`; which λ it is read at is a matter of the pass.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from deep.hyper.declared import Hyperparameter
from reference.console.command import UserError
from reference.rule.perturbation import softplus_inverse

# s(s⁻¹(k)) may come out a rounding error below the whole number k, whose floor must still be k.
ROUNDING, RELATIVE_ROUNDING = 1e-4, 2e-6
# By how much of a bound s(λ) may pass it, which λ in single precision makes of it.
FLOAT32 = 2e-7


@dataclass(frozen=True)
class Pass:
    """One evaluation of the network.

    Args:
        lam: λ + ε, a row for each example, or one row.
        c: what the response multiplies; None where it adds nothing.
        n: examples; None outside a training step, where values are read as single numbers.
        kind: "weights", the network at w0 + Δw; "linearised" at w0 (Eqn. 3.13); or "differential", at w0 itself with
            the derivative of w0 + Δw: the gradient of the loss in Θ is that of its differential there, dL[Δw].
    """

    lam: Float[Tensor, "_ h"]
    c: Float[Tensor, "_ h"] | None
    n: int | None = None
    kind: str = "weights"


class Hyperparameters:
    """λ and σ of declared hyperparameters, and their values in the pass that is under way.

    Raises:
        UserError: no hyperparameter, two of one name, or a scale that is not positive.

    Example:
        >>> hyper = Hyperparameters([Hyperparameter("decay", start=0.5)])
        >>> hyper["decay"].item(), hyper.values()
        (0.5, {'decay': 0.5})
    """

    def __init__(self, declared: Iterable[Hyperparameter], sigma: float = 1.0) -> None:
        self.declared = tuple(declared)
        self.names = tuple(declared.name for declared in self.declared)
        if not self.declared:
            raise UserError("nothing to tune: declare a hyperparameter, or give the model an nn.Dropout")
        if twice := {name for name in self.names if self.names.count(name) > 1}:
            raise UserError(f"hyperparameter {min(twice)!r} is declared twice; give each a name of its own")
        self.lam = nn.Parameter(torch.tensor([declared.lam for declared in self.declared]))
        self.raw_sigma = nn.Parameter(torch.full_like(self.lam, _raw(sigma)))
        self.centred = True
        self.owner: Callable[[], Any] = lambda: None
        self._pass: Pass | None = None
        self._unread = set[str]()

    def __len__(self) -> int:
        return len(self.declared)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Tensor:
        """s(λ + ε) of the pass under way: (n,), or () for one value a batch and outside a training step.

        Raises:
            UserError: no hyperparameter has this name.
        """
        if name not in self.names:
            raise UserError(f"no hyperparameter is named {name!r}; there are {', '.join(self.names)}")
        self._unread.discard(name)
        index, now = self.names.index(name), self.now
        declared = self.declared[index]
        value = declared(now.lam[:, index])
        if declared.discrete:
            value = torch.floor(value + (RELATIVE_ROUNDING * value.abs()).clamp(min=ROUNDING))
        return value[0] if declared.per == "batch" or now.n is None else value.expand(now.n)

    @property
    def sigma(self) -> Float[Tensor, "h"]:
        """σ = softplus(raw_sigma)."""
        return F.softplus(self.raw_sigma)

    @property
    def entropy(self) -> Float[Tensor, ""]:
        """H[N(0, diag(σ²))] less its constant: Σ log σ."""
        return self.sigma.log().sum()

    def withdraw(self, names: Collection[str]) -> list[int]:
        """Forget hyperparameters, before any step; returns the places of those that stay.

        Raises:
            UserError: none would stay.
        """
        places = [index for index, name in enumerate(self.names) if name not in names]
        if not places:
            raise UserError(f"no operation reads {', '.join(map(repr, self.names))}: there is nothing to tune")
        self.declared = tuple(self.declared[index] for index in places)
        self.names = tuple(self.names[index] for index in places)
        for parameter in (self.lam, self.raw_sigma):
            parameter.data = parameter.data[places].clone()
        return places

    def share(self, names: Collection[str]) -> None:
        """Let hyperparameters have one ε for the batch, as a mask that all examples share wants."""
        self.declared = tuple(replace(each, per="batch") if each.name in names else each for each in self.declared)

    def values(self) -> dict[str, float]:
        """s(λ) by name, in the units of the bounds."""
        with torch.no_grad():
            return {declared.name: float(declared(lam)) for declared, lam in zip(self.declared, self.lam, strict=True)}

    def set(self, values: Mapping[str, float]) -> None:
        """Put s(λ) to given values: for a run that tunes nothing.

        A bound itself, or what rounding has put past it, goes to a millionth of the range inside it.

        Raises:
            UserError: an unknown name, or a value outside its bounds.
        """
        for name, value in values.items():
            if name not in self.names:
                raise UserError(f"no hyperparameter is named {name!r}; there are {', '.join(self.names)}")
            declared = self.declared[self.names.index(name)]
            low, high = declared.low - FLOAT32 * abs(declared.low), declared.high + FLOAT32 * abs(declared.high)
            if not (math.isfinite(value) and low <= value <= high):
                raise UserError(f"hyperparameter {name!r}: {value} is not between {declared.low} and {declared.high}")
            inset = 1e-6 * declared.width
            inside = (
                declared.low + inset
                if value <= declared.low
                else declared.high - inset
                if value >= declared.high
                else value
            )
            self.lam.data[self.names.index(name)] = declared.transform.inverse(inside)

    def set_scale(self, sigma: float) -> None:
        """Put every σ to the same positive number."""
        self.raw_sigma.data.fill_(_raw(sigma))

    def multiply_scale(self, factor: Float[Tensor, "h"]) -> None:
        """Multiply each σ by a positive number."""
        sigma = factor * self.sigma.detach()
        self.raw_sigma.data.copy_(sigma + (-torch.expm1(-sigma)).log())

    def scales(self) -> dict[str, float]:
        """σ by name, in units of λ."""
        return dict(zip(self.names, self.sigma.tolist(), strict=True))

    @property
    def now(self) -> Pass:
        """The pass under way; outside one, the current weights at ε = 0: c = 0 (Eqn. 3.1) or c = λ (Eqn. 2.6)."""
        return self._pass or self.centre()

    def centre(self, n: int | None = None) -> Pass:
        """The pass at ε = 0."""
        lam = self.lam.detach()[None]
        return Pass(lam, None if self.centred else lam, n)

    @contextmanager
    def during(self, now: Pass) -> Iterator[None]:
        """Values are those of a pass inside the `with` block."""
        before, self._pass = self._pass, now
        try:
            yield
        finally:
            self._pass = before

    @contextmanager
    def unread(self) -> Iterator[Collection[str]]:
        """Inside the block, each name that is read leaves the set that is yielded."""
        self._unread = set(self.names)
        try:
            yield self._unread
        finally:
            self._unread = set()


def _raw(sigma: float) -> float:
    """softplus⁻¹(σ)."""
    if not 0 < sigma < math.inf:
        raise UserError(f"the perturbation scale {sigma} is not a positive number")
    return float(softplus_inverse(np.array([sigma]))[0])
