"""Causes in estimates: differences that are not small, weights or unrolled training that have not ended.

name        symbol          shape
step        s               ()        of differences of the outer loss
w, dw       w_k, dw_k/dλ    (m,), (m, h)   after k steps of gradient descent from 0, and their derivative, unrolled
alpha       α               ()        step size of those
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray

from reference.beyond.yardstick.cause import Cause, Predictions
from reference.beyond.yardstick.predictions.parts import Parts
from reference.bilevel.networks import Identity

DIFFERENCES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 1e-3, 1e-4, 1e-5, 1e-6)
ALPHAS = (0.1, 0.01)
KEPT = (1, 2, 3, 5, 10, 20)

ONE_SIDED = "one-sided differences of the outer loss, with a large step"
CENTRAL = "central differences of the outer loss, with a large step"
UNTRAINED = "the weights are not trained to the end"
UNROLLED = "unrolled training that has not ended"


def estimated(parts: Parts) -> Predictions:
    """What each of these causes makes of one problem."""
    return dict(_differences(parts)) | dict(_unfinished(parts))


def _differences(parts: Parts) -> Iterator[tuple[Cause, ndarray]]:
    lam, outer_loss = parts.lam, parts.problem.outer_loss
    here = outer_loss(lam)
    for step in DIFFERENCES:
        moves = step * np.eye(len(lam))
        try:
            ahead, behind = (np.asarray(outer_loss(lam + sign * moves)) for sign in (1, -1))
        except ValueError:  # no best response there
            continue
        yield Cause("difference step", ONE_SIDED, f"step {step:g}"), (ahead - here) / step
        yield Cause("difference step", CENTRAL, f"step {step:g}"), (ahead - behind) / (2 * step)


def _unfinished(parts: Parts) -> Iterator[tuple[Cause, ndarray]]:
    """Networks are left out: at w = 0 a linear one rests on a saddle."""
    if not isinstance(parts.problem.f, Identity):
        return
    largest = np.abs(parts.spectrum[0]).max()
    steps = {f"{alpha:g}": alpha for alpha in ALPHAS if alpha * largest < 2}
    for name, alpha in (steps | {"1/(largest eigenvalue)": 1 / largest}).items():
        for k, point, dw in _descent(parts, alpha):
            setting = f"{k} steps of {name} from 0"
            yield Cause("wrong place", UNTRAINED, setting), point.answer(point.solution)
            yield Cause("wrong place", UNROLLED, setting), point.direct + point.grad @ dw


def _descent(parts: Parts, alpha: float) -> Iterator[tuple[int, Parts, ndarray]]:
    point, dw = Parts(parts.problem, parts.lam, np.zeros_like(parts.w)), np.zeros_like(parts.B)
    for k in range(1, KEPT[-1] + 1):
        dw = dw - alpha * (point.H @ dw + point.B)
        point = Parts(point.problem, point.lam, point.w - alpha * point.problem.grad_w(point.lam, point.w))
        if k in KEPT:
            yield k, point, dw
