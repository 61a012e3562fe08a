"""AdamW's decoupled decay is a penalty in Adam's own metric: at rest ∇L(w) + γ D w = 0, with D = √v̂ + e.

    name      symbol            shape   meaning
    g         ∇L(w)             (m,)    the gradient of the full batch, without decay
    mean      m                 (m,)    running mean of g; m̂ = m / (1 - β_1^t)
    square    v                 (m,)    running mean of g²; v̂ = v / (1 - β_2^t)
    steps     t                 ()      steps that were made
    alpha     α                 ()      learning rate
    gamma     γ = s(λ)          ()      decoupled decay ("weight_decay")
    e         e                 ()      keeps the division finite ("eps")
    D         √v̂ + e            (m,)    Adam's metric, a diagonal

The step is w ← w - α (m̂/D + γw). At rest m̂ = ∇L, so w stands still if and only if ∇L/D + γw = 0: r(λ) of
L + (γ/2) wᵀDw, were D fixed (`Ridge`, divisor 1 and `metric` D, for linear regression). Of SGD and of Adam with coupled
decay, which add γw to the gradient, D is I.

D is fixed where v̂ does not follow w: v held constant, or amsgrad, whose largest v no longer grows near rest (which D
that is depends on the path). With mini-batches v̂ is about E[g_b²]: the more of that is g_b's
variance, the less D follows w. With the full batch and β_2 < 1 it follows: v̂ → (∇L)² = (γDw)², hence D = γD|w| + e, and

    D = e / (1 - γ|w|)    with |w_i| < 1/γ:    ∇L_i = -e γw_i / (1 - γ|w_i|),

the minimum of L + e Σ_i (-|w_i| - log(1 - γ|w_i|)/γ): a barrier. As e → 0 it is the minimum of L in the box
|w_i| ≤ 1/γ. AdamW's γ is then no penalty but a bound, without effect on a minimum within it. (With e = 1e-8, and α far
above e over the curvature, AdamW circles that point at a distance of the order of α.)
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray


@dataclass(frozen=True)
class Moments:
    """What AdamW carries from step to step; `square` is the largest so far under amsgrad."""

    mean: Float[ndarray, "m"]
    square: Float[ndarray, "m"]
    largest: Float[ndarray, "m"]
    steps: int = 0


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled decay, on full batches.

    Args:
        amsgrad: D is of the largest v so far, not of the last.

    Example, a first step: m̂ = g and v̂ = g², so w moves by α in each direction, and decays by αγ = 0.1 of itself:
        >>> zero, w = np.zeros(2), np.array([1.0, 0.0])
        >>> w, _ = AdamW(alpha=0.5, gamma=0.2, e=0.0).step(w, np.array([3.0, -7.0]), Moments(zero, zero, zero))
        >>> w
        array([0.4, 0.5])
    """

    alpha: float
    gamma: float
    beta1: float = 0.9
    beta2: float = 0.999
    e: float = 1e-8
    amsgrad: bool = False

    def step(
        self, w: Float[ndarray, "m"], g: Float[ndarray, "m"], moments: Moments
    ) -> tuple[Float[ndarray, "m"], Moments]:
        """w ← w - α (m̂/D + γw), after m and v took in g and g²."""
        mean = self.beta1 * moments.mean + (1 - self.beta1) * g
        square = self.beta2 * moments.square + (1 - self.beta2) * g**2
        moments = Moments(mean, square, np.maximum(moments.largest, square), moments.steps + 1)
        m_hat = mean / (1 - self.beta1**moments.steps)
        return w - self.alpha * (m_hat / self.metric(moments) + self.gamma * w), moments

    def metric(self, moments: Moments) -> Float[ndarray, "m"]:
        """D = √v̂ + e."""
        v = moments.largest if self.amsgrad else moments.square
        return np.sqrt(v / (1 - self.beta2**moments.steps)) + self.e


def full_batch_metric(w: Float[ndarray, "... m"], gamma: float, e: float) -> Float[ndarray, "... m"]:
    """D = e / (1 - γ|w|), where full-batch AdamW rests with β_2 < 1.

    Raises:
        ValueError: a weight is at or beyond ±1/γ, where AdamW does not rest.

    Example, γ = 1/2:
        >>> full_batch_metric(np.array([0.0, -1.0]), gamma=0.5, e=0.01)
        array([0.01, 0.02])
    """
    share = gamma * np.abs(w)
    if not (share < 1).all():
        raise ValueError(f"a weight of {np.abs(w).max():g} is not below 1/γ = {1 / gamma:g}: lower the decay γ")
    return e / (1 - share)


def barrier(w: Float[ndarray, "... m"], gamma: float, e: float) -> Float[ndarray, "..."] | np.floating:
    """e Σ_i (-|w_i| - log(1 - γ|w_i|)/γ), whose gradient is γDw with D = e / (1 - γ|w|).

    Example, of the order of e wherever w is well within its bound 1/γ = 1:
        >>> barrier(np.array([0.5]), gamma=1.0, e=1e-8).round(11)
        np.float64(1.93e-09)
    """
    return e * np.sum(-np.abs(w) - np.log1p(-gamma * np.abs(w)) / gamma, axis=-1)


def full_batch_jacobian(
    H: Float[ndarray, "m m"], w: Float[ndarray, "m"], gamma: float, e: float
) -> Float[ndarray, "m 1"]:
    """dw/d log γ where full-batch AdamW rests: -(H + γD²/e)⁻¹ γ(D²/e) w, H = ∂²L/∂w².

    Ridge's formula in the metric D²/e. D²/e is D times 1/(1 - γ|w|): as if D were fixed, the Jacobian comes out wrong.

    Example, H = 1, γ = 1/2, w = 1, e = 1, so that D = 2 and D²/e = 4:
        >>> full_batch_jacobian(np.eye(1), np.ones(1), gamma=0.5, e=1.0)
        array([[-0.66666667]])
    """
    penalty = gamma * full_batch_metric(w, gamma, e) ** 2 / e
    return -np.linalg.solve(H + np.diag(penalty), (penalty * w)[:, None])
