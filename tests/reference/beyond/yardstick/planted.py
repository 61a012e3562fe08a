"""Hypergradients with one mistake each, written as users write them: by matrices and loops, not by predictions.

Each takes a problem and λ and returns an array of shape (h,); `PLANTED` says which kind of cause and which words the
yardstick must find.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from tests.reference.beyond.yardstick.resting import learned_from_perturbations, learned_jointly

Solve = Callable[[ndarray, ndarray], ndarray]


def implicit(problem: Any, lam: ndarray, solve: Solve = np.linalg.solve, w: ndarray | None = None) -> ndarray:
    """Eqn. 2.4 with a solver and weights of one's own."""
    w = problem.best_response(lam) if w is None else w
    u = solve(problem.hess_ww(lam, w), problem.valid_grad_w(lam, w))
    return problem.valid_grad_lam(lam, w) - problem.hess_wlam(lam, w).T @ u


def least_squares(H: ndarray, g: ndarray) -> ndarray:
    """A solver that a singular H does not stop."""
    return np.linalg.lstsq(H, g, rcond=1e-12)[0]


def cg(steps: int, normal: bool = False, stale: bool = False) -> Solve:
    """Conjugate gradient from zero; on HᵀH where `normal`; with a residual too old in its directions where `stale`."""

    def solve(H: ndarray, g: ndarray) -> ndarray:
        M, b = (H.T @ H, H.T @ g) if normal else (H, g)
        u, r = np.zeros_like(b), b.copy()
        p = r.copy()
        for _ in range(steps):
            if np.linalg.norm(r) <= 1e-15 * np.linalg.norm(b):
                break
            alpha = (r @ r) / (p @ M @ p)
            u, new = u + alpha * p, r - alpha * M @ p
            p, r = (r if stale else new) + (new @ new) / (r @ r) * p, new
        return u

    return solve


def neumann(terms: int, alpha: float) -> Solve:
    """α Σ (I - αH)^j g, term by term."""

    def solve(H: ndarray, g: ndarray) -> ndarray:
        total, term = np.zeros_like(g), g.copy()
        for _ in range(terms):
            total, term = total + alpha * term, term - alpha * H @ term
        return total

    return solve


def unrolled(steps: int, alpha: float) -> Callable[[Any, ndarray], ndarray]:
    """Gradient descent from r(λ), differentiated backwards through its last steps."""

    def function(problem: Any, lam: ndarray) -> ndarray:
        w = problem.best_response(lam)
        backward, total = problem.valid_grad_w(lam, w), problem.valid_grad_lam(lam, w)
        for _ in range(steps):
            total = total - alpha * problem.hess_wlam(lam, w).T @ backward
            backward = backward - alpha * problem.hess_ww(lam, w) @ backward
        return total

    return function


def is_network(problem: Any) -> bool:
    """Whether w = 0 is no place to start from."""
    return type(problem).__name__ in ("LinearNetwork", "SaturatingSlopes")


def descended(problem: Any, lam: ndarray, steps: int, alpha: float) -> list[ndarray]:
    """Weights of gradient descent from 0, the start and all that follow."""
    path = [np.zeros_like(problem.best_response(lam))]
    for _ in range(steps):
        path.append(path[-1] - alpha * problem.grad_w(lam, path[-1]))
    return path


def untrained(problem: Any, lam: ndarray) -> ndarray:
    """Eqn. 2.4 where ten steps of 0.1 from 0 end."""
    if is_network(problem):
        return problem.hypergradient(lam)
    return implicit(problem, lam, least_squares, descended(problem, lam, 10, 0.1)[-1])


def unrolled_from_zero(problem: Any, lam: ndarray) -> ndarray:
    """Those ten steps, differentiated backwards."""
    if is_network(problem):
        return problem.hypergradient(lam)
    *path, w = descended(problem, lam, 10, 0.1)
    backward, total = problem.valid_grad_w(lam, w), problem.valid_grad_lam(lam, w)
    for before in reversed(path):
        total = total - 0.1 * problem.hess_wlam(lam, before).T @ backward
        backward = backward - 0.1 * problem.hess_ww(lam, before) @ backward
    return total


def bare_hessian(problem: Any, lam: ndarray) -> ndarray:
    """The Hessian of the data alone, without the e^λ or λ that it should have."""
    kind, r = type(problem).__name__, problem.best_response(lam)
    if not hasattr(problem, "t"):
        return problem.hypergradient(lam)
    none = 0 * lam if kind == "SaturatingSlopes" else lam - 60.0 * (np.arange(len(lam)) == 0 if "Log" in kind else 1.0)
    u = least_squares(problem.hess_ww(none, r), problem.valid_grad_w(lam, r))
    return problem.valid_grad_lam(lam, r) - problem.hess_wlam(lam, r).T @ u


def smoothed(sigma: float) -> Callable[[Any, ndarray], ndarray]:
    """What evolution strategies average to: the slope of E[L_V(r(λ+ε))] by differences; exact for many λ."""

    def function(problem: Any, lam: ndarray) -> ndarray:
        if len(lam) > 1:
            return problem.hypergradient(lam)
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)

        def mean(point: ndarray) -> float:
            losses = [float(problem.outer_loss(point + sigma * node)) for node in nodes]
            return weights @ losses / weights.sum()

        step = 1e-4
        return np.array([(mean(lam + step) - mean(lam - step)) / (2 * step)])

    return function


def differences(step: float, sides: int) -> Callable[[Any, ndarray], ndarray]:
    """Differences of the outer loss, coordinate by coordinate."""

    def function(problem: Any, lam: ndarray) -> ndarray:
        g = np.zeros(len(lam))
        for i in range(len(lam)):
            ahead, behind = lam.astype(float), lam.astype(float)
            ahead[i] += step
            behind[i] -= step * (sides - 1)
            g[i] = (problem.outer_loss(ahead) - problem.outer_loss(behind)) / (sides * step)
        return g

    return function


def no_direct(problem: Any, lam: ndarray) -> ndarray:
    return problem.hypergradient(lam) - problem.valid_grad_lam(lam, problem.best_response(lam))


def by_hand(problem: Any, lam: ndarray) -> tuple[ndarray, ndarray]:
    """The direct term and the response term of Eqn. 2.4."""
    w = problem.best_response(lam)
    direct = problem.valid_grad_lam(lam, w)
    return direct, implicit(problem, lam, least_squares) - direct


def mixed(of_direct: float, of_response: float) -> Callable[[Any, ndarray], ndarray]:
    """Both terms, one of them with a wrong factor."""

    def function(problem: Any, lam: ndarray) -> ndarray:
        direct, response = by_hand(problem, lam)
        return of_direct * direct + of_response * response

    return function


def summed_hessian(problem: Any, lam: ndarray) -> ndarray:
    """H of the sum over rows where B is of their mean."""
    n = len(getattr(problem, "t", [0.0]))
    return implicit(problem, lam, lambda H, g: least_squares(n * H, g))


def summed_validation(problem: Any, lam: ndarray) -> ndarray:
    """The validation loss added up, not averaged."""
    return len(getattr(problem, "t_valid", [0.0])) * problem.hypergradient(lam)


def averaged_twice(problem: Any, lam: ndarray) -> ndarray:
    """... or averaged two times over."""
    return problem.hypergradient(lam) / len(getattr(problem, "t_valid", [0.0]))


def times_rows(problem: Any, lam: ndarray) -> ndarray:
    """n ∂²L_T/∂w∂λ where ∂²L_T/∂w² is divided by n; quadratics have no rows."""
    return problem.hypergradient(lam) * len(getattr(problem, "t", [0.0]))


def transposed(problem: Any, lam: ndarray) -> ndarray:
    w = problem.best_response(lam)
    B, u = problem.hess_wlam(lam, w), least_squares(problem.hess_ww(lam, w), problem.valid_grad_w(lam, w))
    return problem.valid_grad_lam(lam, w) - (B @ u if B.shape[0] == B.shape[1] else B.T @ u)


def cross_at(place: Callable[[Any, ndarray], ndarray]) -> Callable[[Any, ndarray], ndarray]:
    """∂²L_T/∂w∂λ at other weights than everything else."""

    def function(problem: Any, lam: ndarray) -> ndarray:
        w = problem.best_response(lam)
        u = least_squares(problem.hess_ww(lam, w), problem.valid_grad_w(lam, w))
        return problem.valid_grad_lam(lam, w) - problem.hess_wlam(lam, place(problem, lam)).T @ u

    return function


def all_at(place: Callable[[Any, ndarray], ndarray]) -> Callable[[Any, ndarray], ndarray]:
    """Eqn. 2.4 at other weights than r(λ)."""
    return lambda problem, lam: implicit(problem, lam, least_squares, place(problem, lam))


def nowhere(problem: Any, lam: ndarray) -> ndarray:
    """Weights before any training."""
    return np.zeros_like(problem.best_response(lam))


def of_another(problem: Any, lam: ndarray) -> ndarray:
    """Weights trained once, at λ = 0, and kept."""
    return problem.best_response(np.zeros(len(lam)))


def unregularised(problem: Any, lam: ndarray) -> ndarray:
    """Least squares, or softmax regression with a decay of e^-23; quadratics have no penalty to leave out."""
    if not hasattr(problem, "t"):
        return problem.best_response(lam)
    if hasattr(problem, "classes"):
        return problem.best_response(np.append(-23.0, lam[1:]))
    v = np.linalg.lstsq(problem.X.astype(float), problem.t.astype(float), rcond=None)[0]
    if hasattr(problem, "depth"):
        return np.concatenate([np.eye(len(v)).ravel()] * problem.depth + [v])
    return np.arctanh(v / problem.c) if hasattr(problem, "c") else v


def is_logarithm(problem: Any, lam: ndarray) -> bool:
    """Of all λ, where the penalty is not λ itself."""
    return hasattr(problem, "t") and not hasattr(problem, "c") and len(lam) != 5


def in_the_penalty(problem: Any, lam: ndarray) -> ndarray:
    """d/d exp(λ) wherever λ is a logarithm."""
    return problem.hypergradient(lam) / (np.exp(lam) if is_logarithm(problem, lam) else 1.0)


def chained_again(problem: Any, lam: ndarray) -> ndarray:
    """exp(λ) multiplied on to what is a derivative in λ already."""
    return problem.hypergradient(lam) * (np.exp(lam) if is_logarithm(problem, lam) else 1.0)


def slopes(problem: Any, lam: ndarray) -> ndarray:
    """ds/dλ of the penalties, drop rates, smoothing and class weights s: differences of s by hand."""
    s: list[Any] = [np.exp] * len(lam)
    if type(problem).__name__ in ("InputDropout", "GroupedRates"):
        s = [lambda x: 1 / (1 + np.exp(-x))] * len(lam)
    if hasattr(problem, "classes") and len(lam) == 5:
        s[1] = lambda x: 1 / (1 + np.exp(-x))
    if not hasattr(problem, "t") or hasattr(problem, "c"):  # λ is used as it is
        s = [lambda x: x] * len(lam)
    lam = lam.astype(float)
    return np.array([(item(x + 1e-5) - item(x - 1e-5)) / 2e-5 for item, x in zip(s, lam, strict=True)])


def in_the_rate(problem: Any, lam: ndarray) -> ndarray:
    """d/ds."""
    return problem.hypergradient(lam) / slopes(problem, lam)


def rate_chained_again(problem: Any, lam: ndarray) -> ndarray:
    """ds/dλ multiplied on to a derivative in λ."""
    return problem.hypergradient(lam) * slopes(problem, lam)


def heavy_ball(H: ndarray, g: ndarray) -> ndarray:
    """Three hundred steps with momentum 0.8."""
    u, before = np.zeros_like(g), np.zeros_like(g)
    for _ in range(300):
        u, before = u + 0.8 * (u - before) - (H @ u - g) / np.linalg.norm(H, 2), u
    return u


def fits_nothing(problem: Any, lam: ndarray) -> ndarray:
    g = problem.hypergradient(lam)
    return g + np.linalg.norm(g) * np.cos(7.0 * np.arange(1.0, len(g) + 1.0) + 100 * lam.sum())


def single_precision(problem: Any, lam: ndarray) -> ndarray:
    def solve(H: ndarray, g: ndarray) -> ndarray:
        return np.linalg.lstsq(H.astype(np.float32), g.astype(np.float32), rcond=1e-6)[0]

    return implicit(problem, lam, solve)


def noisy(rng: np.random.Generator) -> Callable[[Any, ndarray], ndarray]:
    return lambda problem, lam: problem.hypergradient(lam) * (1 + 0.1 * rng.standard_normal(len(lam)))


def raises(problem: Any, lam: ndarray) -> ndarray:
    raise RuntimeError("not today\nnor tomorrow")


def with_solver(solve: Solve) -> Callable[[Any, ndarray], ndarray]:
    return lambda problem, lam: implicit(problem, lam, solve)


def times(factor: float) -> Callable[[Any, ndarray], ndarray]:
    return lambda problem, lam: factor * problem.hypergradient(lam)


PLANTED: dict[str, tuple[Callable[[Any, ndarray], Any], str, str]] = {
    "sign": (times(-1.0), "sign", "the sign is wrong"),
    "factor 2": (times(2.0), "factor", "too large by a factor 2"),
    "factor 1/2": (times(0.5), "factor", "too small by a factor 2"),
    "factor 3.7": (times(3.7), "factor", "off by a constant factor: 3.7"),
    "factor n": (times_rows, "factor", "too large by a factor n, the training rows"),
    "factor 1/n": (summed_hessian, "factor", "too small by a factor n, the training rows"),
    "factor v": (summed_validation, "factor", "too large by a factor v, the validation rows"),
    "factor 1/v": (averaged_twice, "factor", "too small by a factor v, the validation rows"),
    "sign of the response": (mixed(1.0, -1.0), "sign", "the response term has the wrong sign"),
    "response twice": (mixed(1.0, 2.0), "factor", "the response term is too large by a factor 2"),
    "half the response": (mixed(1.0, 0.5), "factor", "the response term is too small by a factor 2"),
    "response times 3.7": (mixed(1.0, 3.7), "factor", "the response term is off by a constant factor: 3.7"),
    "direct term subtracted": (mixed(-1.0, 1.0), "direct term", "the direct term ∂L_V/∂λ is subtracted"),
    "direct term twice": (mixed(2.0, 1.0), "direct term", "the direct term ∂L_V/∂λ is counted twice"),
    "no direct term": (no_direct, "direct term", "the direct term ∂L_V/∂λ is missing"),
    "only the direct term": (
        lambda problem, lam: problem.valid_grad_lam(lam, problem.best_response(lam)),
        "direct term",
        "the response is missing: the direct term ∂L_V/∂λ alone",
    ),
    "transposed": (transposed, "transpose", "∂²L_T/∂w∂λ, or Θ, is transposed"),
    "cross at 0": (cross_at(nowhere), "wrong place", "∂²L_T/∂w∂λ is taken at w = 0"),
    "cross at r(0)": (
        cross_at(of_another),
        "wrong place",
        "∂²L_T/∂w∂λ is taken at r(0), the best response to λ = 0",
    ),
    "cross without a penalty": (
        cross_at(unregularised),
        "wrong place",
        "∂²L_T/∂w∂λ is taken at weights trained without a penalty",
    ),
    "all at 0": (all_at(nowhere), "wrong place", "everything is taken at w = 0"),
    "all at r(0)": (all_at(of_another), "wrong place", "everything is taken at r(0), the best response to λ = 0"),
    "all without a penalty": (
        all_at(unregularised),
        "wrong place",
        "everything is taken at weights trained without a penalty",
    ),
    "in the penalty": (
        in_the_penalty,
        "chain rule",
        "the gradient in exp(λ), not in λ: the chain rule's factor exp(λ) is missing",
    ),
    "in the rate": (
        in_the_rate,
        "chain rule",
        "the gradient in the penalties and rates s(λ) that the objective uses, not in λ: the chain rule's factor s'(λ) "
        "is missing",
    ),
    "exp(λ) twice": (chained_again, "chain rule", "the chain rule's factor exp(λ) is there twice"),
    "slope twice": (
        rate_chained_again,
        "chain rule",
        "the chain rule's factor s'(λ) of penalties and rates s(λ) is there twice",
    ),
    "damped": (
        with_solver(lambda H, g: np.linalg.solve(H + 0.01 * np.eye(len(H)), g)),
        "Hessian",
        "the Hessian is damped: H + δI: δ = 0.01",
    ),
    "diagonal": (with_solver(lambda H, g: g / np.diag(H)), "Hessian", "only the diagonal of the Hessian is used"),
    "one step": (
        with_solver(lambda H, g: 0.013 * g),
        "one step",
        "one step only (T1-T2): H⁻¹ is replaced by a number: 0.013",
    ),
    "cg 2": (with_solver(cg(2)), "early stop", "conjugate gradient stopped early: after 2 steps"),
    "cg 5": (with_solver(cg(5)), "early stop", "conjugate gradient stopped early: after 5 steps"),
    "cg 10": (with_solver(cg(10)), "early stop", "conjugate gradient stopped early: after 10 steps"),
    "stale cg 5": (
        with_solver(cg(5, stale=True)),
        "early stop",
        "conjugate gradient whose directions take the residual from before the step: after 5 steps",
    ),
    "normal cg 4": (
        with_solver(cg(4, normal=True)),
        "early stop",
        "conjugate gradient on the normal equations stopped early: after 4 steps",
    ),
    "Neumann": (
        with_solver(neumann(10, 0.1)),
        "series",
        "a truncated Neumann series, or unrolled steps from the best response: 10 terms of step 0.1",
    ),
    "unrolled": (
        unrolled(20, 0.01),
        "series",
        "a truncated Neumann series, or unrolled steps from the best response: 20 terms of step 0.01",
    ),
    "diverging": (
        with_solver(neumann(5, 2.0)),
        "divergence",
        "a truncated Neumann series, or unrolled steps from the best response: 5 terms of step 2, which diverges",
    ),
    "diverging by steps of its own": (
        with_solver(neumann(30, 7.7)),
        "divergence",
        "more than a hundred times too large: an iteration that diverges",
    ),
    "heavy ball": (
        with_solver(heavy_ball),
        "early stop",
        "right where the Hessian is well conditioned, wrong where it is not: a solver that stopped early",
    ),
    "σ = 0.5": (
        learned_from_perturbations(0.5),
        "perturbation",
        "the response is learned from perturbations that are not small (Eqn. 3.10, Δ-STN): σ = 0.5",
    ),
    "σ = 0.5, jointly": (
        learned_jointly(0.5),
        "perturbation",
        "weights and response are learned from perturbations that are not small (Eqn. 2.5, STN): σ = 0.5",
    ),
    "smoothed": (
        smoothed(0.3),
        "perturbation",
        "the outer loss is smoothed by perturbations that are not small (evolution strategies): σ = 0.3",
    ),
    "untrained": (
        untrained,
        "wrong place",
        "the weights are not trained to the end: 10 steps of 0.1 from 0",
    ),
    "unrolled from 0": (
        unrolled_from_zero,
        "wrong place",
        "unrolled training that has not ended: 10 steps of 0.1 from 0",
    ),
    "bare Hessian": (bare_hessian, "Hessian", "∂²L_T/∂w² lacks the penalty"),
    "one-sided differences": (
        differences(0.01, 1),
        "difference step",
        "one-sided differences of the outer loss, with a large step: step 0.01",
    ),
    "central differences": (
        differences(0.1, 2),
        "difference step",
        "central differences of the outer loss, with a large step: step 0.1",
    ),
    "single precision": (
        single_precision,
        "single precision",
        "errors that single precision explains, where the data are in double",
    ),
    "fits nothing": (fits_nothing, "unknown", "none of the known causes"),
    "shape": (lambda problem, lam: np.zeros((len(lam), 1)), "shape", "the shape is wrong"),
    "complex": (
        lambda problem, lam: problem.hypergradient(lam) + 0j,
        "kind",
        "the answer is not of real numbers: it is of complex128",
    ),
    "masked": (lambda problem, lam: np.ma.masked_equal(0 * lam, 0), "masked", "entries of the answer are masked"),
    "NaN": (lambda problem, lam: np.nan * lam, "not finite", "the answer is not finite"),
    "exception": (raises, "exception", "it raises RuntimeError: not today nor tomorrow"),
    "noise": (
        noisy(np.random.default_rng(0)),
        "not repeatable",
        "asked twice, it gives two answers: noise, or a state that is kept",
    ),
}

RIGHT: dict[str, Callable[[Any, ndarray], Any]] = {
    "exact": lambda problem, lam: problem.hypergradient(lam),
    "by the response": lambda problem, lam: (
        problem.valid_grad_lam(lam, problem.best_response(lam))
        + problem.best_response_jacobian(lam).T @ problem.valid_grad_w(lam, problem.best_response(lam))
    ),
    "least squares": with_solver(least_squares),
    "long conjugate gradient": with_solver(cg(2000)),
    "central differences": differences(1e-4, 2),
    "a list": lambda problem, lam: problem.hypergradient(lam).tolist(),
}
