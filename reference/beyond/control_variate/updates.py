"""Alg. 1 with a control variate for Θ's gradient, with Θ's step divided by σ², or with both.

    name        symbol         shape
    g0          ∇_w0 L_T(λ, w0)    (..., m)      the gradient of Eqn. 3.9, which w0's step takes anyway
    eps         ε              (..., h)      the perturbation, drawn by the caller

g0 is free of ε and E[ε] = 0, so that g0 εᵀ has mean zero: taking it off Θ's gradient changes the noise alone.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from numpy import ndarray

from reference.beyond.control_variate.normalised import Normalised
from reference.bilevel.objective import TrainingObjective
from reference.rule import updates
from reference.rule.updates import DELTA_STN, Method, State, perturbed_gradient


@dataclass(frozen=True)
class ExtendedMethod(Method):
    """A method with two more switches.

    Args:
        control_variate: Θ's gradient less ∇L_T(λ, w0) cᵀ, which has mean zero.
        normalised: Θ's step on column j divided by σ_j², that column's curvature by Observation 1; on what serves all
            columns (the response weights of 3.14) by the mean of σ².
    """

    control_variate: bool = False
    normalised: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.control_variate and not self.unperturbed:
            raise ValueError("the control variate is the gradient of Eqn. 3.9: it needs `unperturbed`")
        if self.normalised and not self.centred:
            raise ValueError("column j's curvature is σ_j² times G_w in the centred form only: it needs `centred`")

    @property
    def short(self) -> str:
        return self.name.replace("with control variate", "CV")

    @property
    def slug(self) -> str:
        return super().slug.replace(",", "")


def extended(method: Method) -> ExtendedMethod:
    """The method with its two more switches; of one of the paper's both are off."""
    return method if isinstance(method, ExtendedMethod) else ExtendedMethod(**vars(method))


DELTA_STN_CV = replace(extended(DELTA_STN), name="Δ-STN with control variate", control_variate=True)
DELTA_STN_NORMALISED = replace(extended(DELTA_STN), name="Δ-STN, normalised", normalised=True)
DELTA_STN_CV_NORMALISED = replace(DELTA_STN_CV, name="Δ-STN with control variate, normalised", normalised=True)
BEYOND = (DELTA_STN_CV, DELTA_STN_NORMALISED, DELTA_STN_CV_NORMALISED)


def inner_step(
    method: Method,
    state: State,
    eps: Float[ndarray, "... h"],
    train: TrainingObjective,
    train_perturbed: TrainingObjective,
    alpha1: float,
) -> State:
    """`reference.rule.updates.inner_step`, with what an `ExtendedMethod` asks for besides; arguments as there.

    The control variate uses `train` alone.
    """
    if not isinstance(method, ExtendedMethod):
        return updates.inner_step(method, state, eps, train, train_perturbed, alpha1)
    if method.normalised:
        state = replace(state, response=Normalised(state.response, state.sigma))
    if method.control_variate:
        after = control_variate_step(method, state, eps, train, alpha1)
    else:
        after = updates.inner_step(method, state, eps, train, train_perturbed, alpha1)
    return replace(after, response=after.response.response) if isinstance(after.response, Normalised) else after


def control_variate_step(
    method: Method, state: State, eps: Float[ndarray, "... h"], train: TrainingObjective, alpha1: float
) -> State:
    """Alg. 1's two lines, both gradients at one w0 and with one set of masks, or g - g0 would not vanish with ε."""
    lam, w0, Theta = state.lam, state.w0, state.response
    g0 = train.grad_w(lam, w0)
    g = perturbed_gradient(method, train, lam + eps, w0, Theta.apply(eps))
    Theta = Theta.minus(alpha1, Theta.gradient(eps, g - g0))
    w0 = w0 - alpha1 * g0
    return State(lam, state.sigma, w0, Theta)
