"""The exact answers and their tolerances: digits that no floating point rounds, and perturbations at their worst."""

from collections.abc import Iterable
from decimal import Decimal, localcontext
from itertools import product

import numpy as np
import pytest
from numpy import ndarray

from reference.beyond.problems.grouped import GroupedPenalties
from reference.beyond.problems.logistic import Logistic
from reference.beyond.yardstick.cases import BUILDERS, case_of
from reference.beyond.yardstick.diagnosis.evidence import Evidence
from reference.beyond.yardstick.predictions.known import known
from reference.beyond.yardstick.predictions.parts import Parts, answer_at_outputs, condition, exact_parts

NAMES = list(BUILDERS)
SMALL = 1e-9
"""A relative perturbation that is far above rounding, and its square far below it."""


def dot(a: Iterable[Decimal], b: Iterable[Decimal]) -> Decimal:
    """Σ a_i b_i."""
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def solve_in_decimals(K: list[list[Decimal]], b: list[Decimal]) -> list[Decimal]:
    """Gaussian elimination; K is positive definite, so no pivoting."""
    n, rows = len(b), [[*row, right] for row, right in zip(K, b, strict=True)]
    for i in range(n):
        for j in range(i + 1, n):
            factor = rows[j][i] / rows[i][i]
            rows[j] = [x - factor * y for x, y in zip(rows[j], rows[i], strict=True)]
    x = [Decimal(0)] * n
    for i in reversed(range(n)):
        x[i] = (rows[i][n] - dot(rows[i][i + 1 : n], x[i + 1 :])) / rows[i][i]
    return x


def hypergradient_in_decimals(problem: GroupedPenalties, lam: ndarray) -> list[Decimal]:
    """-Σ_{j in group i} e^{λ_i} (n/divisor) r_j z_j with K r = Xᵀt and K z = ∂L_V/∂w, to sixty digits."""
    X, t, X_valid, t_valid = (
        [[Decimal(float(x)) for x in np.atleast_1d(row)] for row in array]
        for array in (problem.X, problem.t, problem.X_valid, problem.t_valid)
    )
    weight = [Decimal(float(item)).exp() * len(X) / Decimal(problem.divisor) for item in lam]
    columns = list(zip(*X, strict=True))
    K = [[dot(item, other) for other in columns] for item in columns]
    for j, i in enumerate(problem.group):
        K[j][j] += weight[i]
    r = solve_in_decimals(K, [dot(column, [y[0] for y in t]) for column in columns])
    residual = [dot(row, r) - y[0] for row, y in zip(X_valid, t_valid, strict=True)]
    grad = [dot(column, residual) / len(X_valid) for column in zip(*X_valid, strict=True)]
    z = solve_in_decimals(K, grad)
    terms = [weight[i] * r[j] * z[j] for j, i in enumerate(problem.group)]
    return [-dot([Decimal(i == k) for k in problem.group], terms) for i in range(len(lam))]


def softmax_in_decimals(problem: Logistic, lam: ndarray) -> list[Decimal]:
    """∂L_T/∂w = 0 by three Newton steps from the rounded answer, 15 digits, 30, 60; then -Bᵀz with H z = ∂L_V/∂w."""
    l, first, c = [Decimal(float(x)) for x in lam], Decimal(1), problem.classes  # noqa: E741
    decay = l[0].exp() / Decimal(problem.divisor)
    smooth = first / (first + (-l[1]).exp()) if len(l) > 1 else Decimal(0)
    weights = [x.exp() for x in l[2:]] or [first] * c
    rows, rows_valid = (
        [([Decimal(float(x)) for x in row], int(label)) for row, label in zip(X, t, strict=True)]
        for X, t in ((problem.X, problem.t), (problem.X_valid, problem.t_valid))
    )
    w = [Decimal(float(x)) for x in problem.best_response(lam)]
    p = len(w) // c

    def shares(x: list[Decimal]) -> list[Decimal]:
        odds = [dot(x, w[k * p : (k + 1) * p]).exp() for k in range(c)]
        return [odd / sum(odds) for odd in odds]

    def gradient(parts: list[tuple[list[Decimal], list[Decimal]]]) -> list[Decimal]:
        return [
            dot((e[k] for e, _ in parts), (x[j] for _, x in parts)) / len(parts) for k in range(c) for j in range(p)
        ]

    def targets(label: int) -> list[Decimal]:
        return [(first - smooth) * (k == label) + smooth / c for k in range(c)]

    def hessian() -> list[list[Decimal]]:
        H = [[decay * (i == j) for j in range(c * p)] for i in range(c * p)]
        for x, label in rows:
            share = shares(x)
            for i, j in product(range(c * p), repeat=2):
                block = share[i // p] * ((i // p == j // p) - share[j // p])
                H[i][j] += weights[label] * block * x[i % p] * x[j % p] / len(rows)
        return H

    def excess(x: list[Decimal], label: int) -> list[Decimal]:
        return [share - q for share, q in zip(shares(x), targets(label), strict=True)]

    for _ in range(3):
        slope = gradient([([weights[label] * e for e in excess(x, label)], x) for x, label in rows])
        step = solve_in_decimals(hessian(), [s + decay * x for s, x in zip(slope, w, strict=True)])
        w = [x - s for x, s in zip(w, step, strict=True)]
    one_hot = [([share - (k == label) for k, share in enumerate(shares(x))], x) for x, label in rows_valid]
    z = solve_in_decimals(hessian(), gradient(one_hot))
    columns = [[decay * x for x in w]]
    if len(l) > 1:
        slope = smooth * (first - smooth)
        moved = [([weights[label] * slope * ((k == label) - first / c) for k in range(c)], x) for x, label in rows]
        columns.append(gradient(moved))
    for of in range(len(l) - 2):
        columns.append(
            gradient([([weights[of] * (label == of) * e for e in excess(x, label)], x) for x, label in rows])
        )
    return [-dot(column, z) for column in columns]


@pytest.mark.parametrize("name", ["penalties", "ill-1e4", "ill-1e8", "softmax", "class-weights"])
def test_the_exact_answer_holds_to_the_digits_that_its_condition_leaves(name: str):
    problem, lam = case_of(name).problem, case_of(name).lam
    with localcontext() as context:
        context.prec = 60
        if isinstance(problem, Logistic):
            digits = softmax_in_decimals(problem, lam)
        else:
            assert isinstance(problem, GroupedPenalties)
            digits = hypergradient_in_decimals(problem, lam)
        true = np.array(digits, dtype=float)
    error = np.linalg.norm(known(name).exact - true) / np.linalg.norm(true)
    assert error <= condition(problem, lam) * np.finfo(float).eps
    assert error <= known(name).tol / 100


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_put_together_are_the_hypergradient(name: str):
    parts, first = known(name).parts, known(name)
    assert np.linalg.norm(parts.answer(parts.solution) - first.exact) <= first.tol * np.linalg.norm(first.exact)
    v = parts.problem.best_output(parts.lam)
    at_outputs = answer_at_outputs(parts.problem, parts.lam, v)
    assert np.linalg.norm(at_outputs - first.exact) <= first.tol * np.linalg.norm(first.exact)


def test_digits_are_counted_for_each_entry_that_was_not_fitted():
    subject = known("penalties")
    evidence = Evidence(subject, subject.exact)
    # Twice the answer differs from it by a half of the larger norm.
    assert evidence.digits(2 * subject.exact) == pytest.approx(8 * np.log10(0.5 / subject.tol))
    assert evidence.digits(2 * subject.exact, fitted=1) == pytest.approx(7 * np.log10(0.5 / subject.tol))
    assert evidence.digits(subject.exact) == 0.0


def worst_case(parts: Parts) -> tuple[float, float]:
    """‖change‖/‖answer‖ for an E with ‖E‖ = SMALL ‖H‖ in each of the two systems, turned where it hurts."""
    problem, lam = parts.problem, parts.lam
    v = problem.best_output(lam)
    H, B = problem.train_hess_vv(lam, v), problem.train_hess_vlam(lam, v)
    u, exact = np.linalg.solve(H, problem.valid_grad_v(lam, v)), problem.hypergradient(lam)
    p = np.linalg.svd(np.linalg.solve(H, B).T)[2][0]
    E = SMALL * np.linalg.norm(H, 2) * np.outer(p, u) / np.linalg.norm(u)
    adjoint = B.T @ (np.linalg.solve(H + E, problem.valid_grad_v(lam, v)) - u)
    changes = []
    for q in np.linalg.svd(H)[2][-3:]:
        E = SMALL * np.linalg.norm(H, 2) * np.outer(q, v) / np.linalg.norm(v)
        moved = np.linalg.solve(H + E, H @ v)
        changes.append(answer_at_outputs(problem, lam, moved) - answer_at_outputs(problem, lam, v))
    size = np.linalg.norm(exact)
    return float(np.linalg.norm(adjoint) / size), float(max(np.linalg.norm(change) / size for change in changes))


@pytest.mark.parametrize("name", NAMES)
def test_no_perturbation_moves_the_answer_by_more_than_its_condition(name: str):
    case = case_of(name).doubled
    c = condition(case.problem, case.lam)
    # The square of the perturbation counts where the Hessian is ill-conditioned: SMALL κ = 0.05 at most.
    assert max(worst_case(exact_parts(case.problem, case.lam))) <= 1.1 * c * SMALL


def test_a_perturbation_can_move_the_answer_by_as_much():
    case = case_of("ill-1e8")
    worst = max(worst_case(exact_parts(case.problem, case.lam)))
    assert worst >= 0.1 * condition(case.problem, case.lam) * SMALL


def test_the_problems_are_as_cruel_as_their_names_say():
    conditioning = {name: known(name).conditioning for name in NAMES}
    assert all(value < 11 for name, value in conditioning.items() if not name.startswith("ill"))
    assert 1e3 < conditioning["ill-1e4"] < 1e4
    assert 1e7 < conditioning["ill-1e8"] < 1e8
    deficient = known("rank-deficient").parts
    assert len(deficient.spectrum[0]) == 4
    assert len(deficient.w) == 36
    flat = known("flat")
    assert np.linalg.norm(flat.exact) < 1e-4 * np.linalg.norm(flat.parts.direct)
    assert case_of("float32").lam.dtype == np.float32
    assert len(case_of("wide").lam) == 4 * len(known("wide").parts.w)
