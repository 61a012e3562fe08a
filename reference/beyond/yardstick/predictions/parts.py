"""Eqn. 2.4 taken apart at (λ, r(λ)), and how exactly floating point lets it be put together again.

    name        symbol              shape     meaning
    r           r(λ)                (m,)      best response
    H           ∂²L_T/∂w²           (m, m)
    B           ∂²L_T/∂w∂λ          (m, h)
    grad        ∂L_V/∂w             (m,)
    direct      ∂L_V/∂λ             (h,)
    exact       dL_V/dλ             (h,)      direct - BᵀH⁻¹ ∂L_V/∂w
    unit        u                   ()        machine epsilon of the data
    condition   c                   ()        relative error of the answer, in units of u

A backward stable solver solves (H + E) x = b with ‖E‖ about u‖H‖. To first order, E in solving for u_V = H⁻¹ ∂L_V/∂w
changes the answer by at most ‖H‖ ‖Θ‖ ‖u_V‖, and in the solution for r by at most ‖H‖ ‖r‖ ‖H⁻¹ ∂(answer)/∂r‖; rounding
∂L_V/∂w and the last sum cost ‖Θ‖ (‖∂L_V/∂w‖ + ‖H_V‖‖r‖) and ‖B‖‖u_V‖ + ‖direct‖. Their sum over ‖answer‖ is c, taken in
the outputs v, where r and Θ are unique.

An answer passes where its relative error is below √(c u): half of the digits that floating point leaves. One-sided
differences of the outer loss reach that at their best step on most of the problems, central differences (with a step of
1e-4, ten times and more below it) and a converged solver on all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from reference.bilevel.networks import Identity
from reference.bilevel.problem import Problem

STEP = np.finfo(float).eps ** (1 / 3)


@dataclass(frozen=True)
class Parts:
    """What the hypergradient is made of, at weights w: r(λ), or somewhere else by mistake."""

    problem: Problem
    lam: Float[ndarray, "h"]
    w: Float[ndarray, "m"]

    @cached_property
    def H(self) -> Float[ndarray, "m m"]:
        return self.problem.hess_ww(self.lam, self.w)

    @cached_property
    def B(self) -> Float[ndarray, "m h"]:
        return self.problem.hess_wlam(self.lam, self.w)

    @cached_property
    def grad(self) -> Float[ndarray, "m"]:
        return self.problem.valid_grad_w(self.lam, self.w)

    @cached_property
    def direct(self) -> Float[ndarray, "h"]:
        return self.problem.valid_grad_lam(self.lam, self.w)

    @cached_property
    def spectrum(self) -> tuple[Float[ndarray, "k"], Float[ndarray, "m k"]]:
        """Eigenvalues and eigenvectors of H, without those that are zero but for rounding (a singular H)."""
        mu, Q = np.linalg.eigh(self.H)
        nonzero = np.abs(mu) > len(mu) * np.finfo(float).eps * np.abs(mu).max()
        return mu[nonzero], Q[:, nonzero]

    @cached_property
    def solution(self) -> Float[ndarray, "m"]:
        """H⁻¹ ∂L_V/∂w, of least norm where H is singular."""
        mu, Q = self.spectrum
        return Q @ (Q.T @ self.grad / mu)

    def answer(self, solution: Float[ndarray, "... m"]) -> Float[ndarray, "... h"]:
        """direct - Bᵀ solution: Eqn. 2.4 with anything in the place of H⁻¹ ∂L_V/∂w."""
        return self.direct - solution @ self.B


def exact_parts(problem: Problem, lam: Float[ndarray, "h"]) -> Parts:
    """The parts at the best response.

    Example, L_T = ½w² - wλ and L_V = ½(w - 3)² at λ = 1: r = 1, so the answer is 1·(1 - 3):
        >>> from reference.problems.quadratic import Quadratic, QuadraticProblem
        >>> ones, zero = np.ones((1, 1)), np.zeros((1, 1))
        >>> train = Quadratic(ones, -ones, zero, zero[0], zero[0], np.float64(0))
        >>> valid = Quadratic(ones, zero, zero, np.array([-3.0]), zero[0], np.float64(4.5))
        >>> parts = exact_parts(QuadraticProblem(train, valid), np.ones(1))
        >>> parts.answer(parts.solution)
        array([-2.])
    """
    return Parts(problem, lam, problem.best_response(lam))


def answer_at_outputs(problem: Problem, lam: Float[ndarray, "h"], v: Float[ndarray, "k"]) -> Float[ndarray, "h"]:
    """Eqn. 2.4's formula with all its parts at outputs v; its direct term depends on them for linear models alone."""
    direct = problem.valid_grad_lam(lam, v) if isinstance(problem.f, Identity) else np.zeros_like(lam)
    solution = np.linalg.solve(problem.train_hess_vv(lam, v), problem.valid_grad_v(lam, v))
    return direct - np.vecmat(solution, problem.train_hess_vlam(lam, v))


def condition(problem: Problem, lam: Float[ndarray, "h"]) -> float:
    """c: how far relative errors of one part in u in each step may move the answer, relatively, in units of u."""
    v, size = problem.best_output(lam), np.linalg.norm
    H, B, grad = problem.train_hess_vv(lam, v), problem.train_hess_vlam(lam, v), problem.valid_grad_v(lam, v)
    steps = STEP * max(1.0, np.abs(v).max()) * np.eye(len(v))
    moved = [
        (answer_at_outputs(problem, lam, v + dv) - answer_at_outputs(problem, lam, v - dv)) / (2 * size(dv))
        for dv in steps
    ]
    Theta, u_V, slope = np.linalg.solve(H, B), np.linalg.solve(H, grad), np.linalg.solve(H, np.array(moved))
    solves = size(H, 2) * (size(Theta, 2) * size(u_V) + size(v) * size(slope, 2))
    sums = size(Theta, 2) * (size(grad) + size(problem.valid_hess_vv(lam, v), 2) * size(v)) + size(B, 2) * size(u_V)
    exact = problem.hypergradient(lam)
    return float((solves + sums + size(exact - np.vecmat(u_V, -B))) / size(exact))
