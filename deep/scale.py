"""A scale σ of the perturbations that goes from its start to an end by itself, where it is not learned.

σ_k = σ_0 (σ_K/σ_0)^{k/K}     after k of K steps: equal ratios
"""

from typing import Any

from deep.hyper.hyperparameters import Hyperparameters


class ScaleTo:
    """Every σ to `end` in equal ratios; among a run's schedulers, where a step ends an epoch. `end` = σ holds it.

    Example:
        >>> from deep.hyper.declared import Hyperparameter
        >>> hyper = Hyperparameters([Hyperparameter("rate", start=0.5, high=1.0)], sigma=1.0)
        >>> falling = ScaleTo(hyper, end=0.01, steps=2)
        >>> falling.step()
        >>> round(hyper.scales()["rate"], 6)
        0.1
    """

    def __init__(self, hyper: Hyperparameters, end: float, steps: int) -> None:
        self.hyper, self.end, self.steps = hyper, end, steps
        self.ratios = (end / hyper.sigma.detach()) ** (1 / steps)

    def step(self) -> None:
        """One more."""
        self.hyper.multiply_scale(self.ratios.to(self.hyper.raw_sigma))

    def state_dict(self) -> dict[str, Any]:
        """The ratios; σ itself is a tuner's."""
        return {"ratios": self.ratios}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on at the ratios of a run whose σ has moved since."""
        self.ratios = state["ratios"]
