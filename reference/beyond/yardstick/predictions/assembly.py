"""Causes in how Eqn. 2.4 is put together: direct - BᵀH⁻¹∂L_V/∂w with a sign, factor, term, transpose or place wrong.

name        symbol            shape
g           dL_V/dλ           (h,)     the exact answer
direct      ∂L_V/∂λ           (h,)
response    g - direct        (h,)
n, v        -                 ()       training and validation rows
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from scipy.special import expit

from reference.beyond.problems.grouped import GroupedRates, GroupedRegression
from reference.beyond.problems.logistic import Logistic
from reference.beyond.yardstick.cause import Cause, Predictions
from reference.beyond.yardstick.predictions.fitted import Line
from reference.beyond.yardstick.predictions.parts import Parts
from reference.bilevel.transforms import Exp
from reference.problems.dropout import InputDropout
from reference.problems.regression import Regression
from reference.problems.ridge import Ridge

IN_S = "the gradient in the penalties and rates s(λ) that the objective uses"

NO_PENALTY = 25.0
"""e^-25 of a penalty is none beside any tolerance, and enough to make softmax regression's weights unique."""


def assembled(parts: Parts, g: ndarray) -> Predictions:
    """What each of these causes makes of one problem; a cause that cannot occur there is left out."""
    direct, response = parts.direct, g - parts.direct
    predictions = {
        Cause("sign", "the sign is wrong"): -g,
        Cause("sign", "the response term has the wrong sign"): direct - response,
        Cause("direct term", "the direct term ∂L_V/∂λ is missing"): response,
        Cause("direct term", "the direct term ∂L_V/∂λ is subtracted"): response - direct,
        Cause("direct term", "the direct term ∂L_V/∂λ is counted twice"): g + direct,
        Cause("direct term", "the response is missing: the direct term ∂L_V/∂λ alone"): direct,
        Cause("factor", "the response term is too large by a factor 2"): direct + 2 * response,
        Cause("factor", "the response term is too small by a factor 2"): direct + response / 2,
    }
    for name, factor in factors(parts):
        predictions[Cause("factor", f"too large by {name}")] = factor * g
        predictions[Cause("factor", f"too small by {name}")] = g / factor
    return predictions | _transposed(parts) | _chain_rule(parts, g) | _elsewhere(parts)


def factors(parts: Parts) -> Iterator[tuple[str, float]]:
    """Numbers that are easily forgotten."""
    yield "a factor 2", 2.0
    if isinstance(problem := parts.problem, Regression | Logistic):
        yield "a factor n, the training rows", float(problem.n)
        yield "a factor v, the validation rows", float(len(problem.t_valid))


def _transposed(parts: Parts) -> Predictions:
    B = parts.B
    if B.shape[0] != B.shape[1]:
        return {}
    return {Cause("transpose", "∂²L_T/∂w∂λ, or Θ, is transposed"): parts.direct - B @ parts.solution}


def _chain_rule(parts: Parts, g: ndarray) -> Predictions:
    """d/dλ = e^λ d/de^λ, and s'(λ) d/ds where s(λ) is what the objective uses."""
    predictions: Predictions = {}
    if in_logarithm(parts):
        predictions = {
            Cause("chain rule", "the gradient in exp(λ), not in λ: the chain rule's factor exp(λ) is missing"): g
            / np.exp(parts.lam),
            Cause("chain rule", "the chain rule's factor exp(λ) is there twice"): g * np.exp(parts.lam),
        }
    slope = slope_of_s(parts)
    if slope is not None:
        predictions |= {
            Cause("chain rule", f"{IN_S}, not in λ: the chain rule's factor s'(λ) is missing"): g / slope,
            Cause("chain rule", "the chain rule's factor s'(λ) of penalties and rates s(λ) is there twice"): g * slope,
        }
    return predictions


def _elsewhere(parts: Parts) -> Predictions:
    """B, or everything, at weights that are not the best response to λ."""
    problem, lam = parts.problem, parts.lam
    places = {
        "w = 0": lambda: np.zeros_like(parts.w),
        "r(0), the best response to λ = 0": lambda: problem.best_response(0 * lam),
    }
    none = without_penalty(parts)
    if none is not None:
        places["weights trained without a penalty"] = lambda: problem.best_response(none)
    predictions: Predictions = {}
    for name, place in places.items():
        try:
            away = Parts(problem, lam, place())
            predictions[Cause("wrong place", f"∂²L_T/∂w∂λ is taken at {name}")] = parts.direct - parts.solution @ away.B
            predictions[Cause("wrong place", f"everything is taken at {name}")] = away.answer(away.solution)
        except (ValueError, np.linalg.LinAlgError):  # there are no such weights
            continue
    if none is not None:
        bare = Parts(problem, none, parts.w)
        predictions[Cause("Hessian", "∂²L_T/∂w² lacks the penalty")] = parts.answer(bare.solution)
    return predictions


def without_penalty(parts: Parts) -> ndarray | None:
    """The λ at which a problem of data has no penalty."""
    if isinstance(parts.problem, Logistic):
        return parts.lam - NO_PENALTY * (np.arange(len(parts.lam)) == 0)
    if in_logarithm(parts):
        return parts.lam - NO_PENALTY
    return 0 * parts.lam if isinstance(parts.problem, Ridge) else None


def in_logarithm(parts: Parts) -> bool:
    """Whether λ is the logarithm of what the objective uses: of a penalty, or of the odds of dropping."""
    problem = parts.problem
    if isinstance(problem, Logistic):
        return problem.h == 1
    return isinstance(problem, InputDropout | GroupedRegression) or (
        isinstance(problem, Ridge) and isinstance(problem.s, Exp)
    )


def slope_of_s(parts: Parts) -> ndarray | None:
    """s'(λ): s = 1/(1+e^-λ) of a drop rate and of label smoothing, e^λ of a penalty and of class weights."""
    rate = expit(parts.lam) * expit(-parts.lam)
    if isinstance(parts.problem, InputDropout | GroupedRates):
        return rate
    if isinstance(parts.problem, Logistic):
        return np.where(np.arange(len(parts.lam)) == 1, rate, np.exp(parts.lam))
    return np.exp(parts.lam) if in_logarithm(parts) else None


def proportional(parts: Parts, g: ndarray) -> dict[Cause, Line]:
    """Causes with a factor that is anybody's."""
    direct = parts.direct
    return {
        Cause("factor", "off by a constant factor"): Line(np.zeros_like(g), g),
        Cause("factor", "the response term is off by a constant factor"): Line(direct, g - direct),
        Cause("one step", "one step only (T1-T2): H⁻¹ is replaced by a number"): Line(direct, -parts.grad @ parts.B),
    }
