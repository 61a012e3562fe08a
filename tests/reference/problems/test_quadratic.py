"""The hypergradient and the optimum of a quadratic bilevel problem (C.9), by the block matrix of the paper."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.problems.quadratic import Quadratic, QuadraticProblem
from tests.strategies import Case, exactly, quadratics


def block_matrix(function: Quadratic) -> np.ndarray:
    """((A, B), (Bᵀ, C))."""
    return np.block([[function.A, function.B], [function.B.T, function.C]])


def outer_quadratic(problem: QuadraticProblem) -> tuple[np.ndarray, np.ndarray]:
    """H and g of L_V(λ, r(λ)) = ½ λᵀHλ + gᵀλ + const, r(λ) = Jλ + k put into the block matrix of L_V."""
    train, valid = problem.train, problem.valid
    h = train.B.shape[-1]
    J, k = -np.linalg.solve(train.A, train.B), -np.linalg.solve(train.A, train.d)
    M, along = block_matrix(valid), np.vstack([J, np.eye(h)])
    offset = np.concatenate([k, np.zeros(h)])
    return along.T @ M @ along, along.T @ (M @ offset + np.concatenate([valid.d, valid.e]))


@given(quadratics())
def test_the_hypergradient_is_affine_with_the_direct_term(case: Case[QuadraticProblem]):
    actual = case.problem.hypergradient(case.lam)
    for index, problem, lam, _ in case.replicates():
        H, g = outer_quadratic(problem)
        M = np.abs(block_matrix(problem.valid)).max()
        J = np.abs(problem.best_response_jacobian(lam)).max()
        terms = M * max(1.0, J) * max(1.0, np.abs(problem.best_response(lam)).max())
        assert_allclose(actual[index], *exactly(H @ lam + g, H, g, terms))


@given(quadratics())
def test_the_optimum_solves_the_outer_problem_in_every_hyperparameter(case: Case[QuadraticProblem]):
    # κ(H) is at most κ(M) κ(along)² with κ(M) ≤ 100: up to 1e6 here, so the residual is what is compared.
    measured = case.problem.optimum()
    for index in np.ndindex(measured.loss_star.shape):
        problem = next(item for point, item, _, _ in case.replicates() if case.shared or point == index)
        H, g = outer_quadratic(problem)
        lam_star = measured.lam_star[index]
        assert_allclose(H @ lam_star, *exactly(-g, np.abs(H).max() * np.abs(lam_star).max()))
        assert measured.where[index] == "interior"


@given(quadratics())
def test_every_other_lam_is_worse_than_the_optimum(case: Case[QuadraticProblem]):
    measured = case.problem.optimum()
    elsewhere = case.problem.outer_loss(measured.lam_star + case.normal(case.lam.shape[-1]))
    assert (elsewhere > measured.loss_star).all()
    assert_array_equal(measured.loss_star, case.problem.outer_loss(measured.lam_star))


@given(quadratics(leads=st.just(())), st.floats(0.1, 10.0))
def test_an_outer_problem_that_is_not_convex_is_refused(case: Case[QuadraticProblem], below: float):
    H, _ = outer_quadratic(case.problem)
    least, directions = np.linalg.eigh(H)
    # Taking (least + below) uuᵀ from C takes it from H: one direction falls.
    fall = (least[0] + below) * np.outer(directions[:, 0], directions[:, 0])
    valid = replace(case.problem.valid, C=case.problem.valid.C - fall)
    with pytest.raises(ValueError, match="not strictly convex"):
        replace(case.problem, valid=valid).optimum()


@given(quadratics(leads=st.just((3,))).filter(lambda case: not case.shared), st.integers(0, 2))
def test_one_replicate_that_is_not_convex_is_enough_to_refuse(case: Case[QuadraticProblem], k: int):
    C = case.problem.valid.C.copy()
    C[k] -= 1e6 * np.eye(C.shape[-1])  # H's largest eigenvalue: κ² of A, at most 1e4, times 10
    with pytest.raises(ValueError, match="not strictly convex"):
        replace(case.problem, valid=replace(case.problem.valid, C=C)).optimum()


@given(quadratics(leads=st.sampled_from([(1,), (3,), (2, 2)])))
def test_replicates_of_the_optimum_equal_a_loop(case: Case[QuadraticProblem]):
    measured = case.problem.optimum()
    for index, problem, _, _ in case.replicates():
        own = () if case.shared else index
        alone = problem.optimum()
        H, _ = outer_quadratic(problem)
        # Two solves with the same H may differ by eps κ(H), here allowed 1e-13 κ(H).
        terms = np.linalg.cond(H) * np.abs(alone.lam_star).max()
        assert_allclose(measured.lam_star[own], *exactly(alone.lam_star, 1e-3 * terms))


@pytest.mark.parametrize("name", ["A", "B", "C", "d", "e", "c"])
def test_numbers_that_are_not_finite_are_refused_by_name(name: str) -> None:
    parts = {"A": np.eye(2), "B": np.ones((2, 1)), "C": np.eye(1), "d": np.ones(2), "e": np.ones(1), "c": np.ones(())}
    parts[name] = np.full_like(parts[name], np.nan)
    with pytest.raises(ValueError, match=f"^{name} holds NaN or infinity"):
        Quadratic(**parts)
