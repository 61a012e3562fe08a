"""The optimisers that the experiments need: gradient descent (Alg. 1, 2 as written) and RMSProp (H.2).

name      symbol   shape    meaning
x, g      x, g     (...)    a parameter and its gradient
memory    s        (...)    running mean of g²
alpha     α        ()       learning rate
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class Sgd:
    """x ← x - αg."""

    alpha: float

    def step(
        self, x: Float[ndarray, "..."], g: Float[ndarray, "..."], memory: Float[ndarray, "..."]
    ) -> tuple[Float[ndarray, "..."], Float[ndarray, "..."]]:
        """The parameter and the (unused) memory after one step."""
        return x - self.alpha * g, memory


@dataclass(frozen=True)
class RmsProp:
    """s ← ρs + (1 - ρ)g², x ← x - αg / (√s + δ), from s = 0 and without bias correction (torch.optim's defaults).

    Example, a first step is α / √(1 - ρ) long whatever the gradient's size:
        >>> x, _ = RmsProp(alpha=0.1).step(np.array([0.0]), np.array([1e6]), np.array([0.0]))
        >>> x.round(6)
        array([-1.])
    """

    alpha: float
    rho: float = 0.99
    delta: float = 1e-8

    def step(
        self, x: Float[ndarray, "..."], g: Float[ndarray, "..."], memory: Float[ndarray, "..."]
    ) -> tuple[Float[ndarray, "..."], Float[ndarray, "..."]]:
        """The parameter and the running mean of squares after one step."""
        memory = self.rho * memory + (1 - self.rho) * g**2
        return x - self.alpha * g / (np.sqrt(memory) + self.delta), memory
