"""Eqn. H.4: a product of matrices against loops over its entries, and ridge regression in v."""

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.problems.linear_network import LinearNetwork, Product
from reference.problems.ridge import Ridge
from tests.strategies import Case, exactly, linear_networks

single = linear_networks(leads=st.just(()))


def cut(w: np.ndarray, depth: int, width: int) -> list[np.ndarray]:
    """[W_1, ..., W_d, W_{d+1}] from the flat weights, counted out one matrix at a time."""
    matrices, rest = [], list(w)
    for rows in [width] * depth + [1]:
        matrices.append(np.array([[rest.pop(0) for _ in range(width)] for _ in range(rows)]))
    assert rest == []
    return matrices


def multiplied(matrices: list[np.ndarray], width: int) -> np.ndarray:
    """W_{d+1} W_d ··· W_1, from the right."""
    product = np.eye(width)
    for W in matrices:
        product = W @ product
    return product


def naive_jacobian(w: np.ndarray, depth: int, width: int) -> np.ndarray:
    """∂v/∂w, a column for each weight: v is linear in each matrix, which the unit matrix of that weight replaces."""
    columns, matrices = [], cut(w, depth, width)
    for k, W in enumerate(matrices):
        for index in np.ndindex(W.shape):
            unit = np.zeros(W.shape)
            unit[index] = 1.0
            columns.append(multiplied([*matrices[:k], unit, *matrices[k + 1 :]], width)[0])
    return np.array(columns).T


def ridge_of(problem: LinearNetwork) -> Ridge:
    """Ridge regression on the same data."""
    return Ridge(**{field.name: getattr(problem, field.name) for field in fields(Ridge)})


@given(linear_networks())
def test_the_output_is_the_product_of_the_matrices(case: Case[LinearNetwork]):
    actual = case.problem.f(case.w)
    for index, problem, _, w in case.replicates():
        width = problem.f.width
        assert_allclose(actual[index], *exactly(multiplied(cut(w, problem.depth, width), width)[0]))


@given(linear_networks())
def test_jvp_replaces_one_matrix_at_a_time(case: Case[LinearNetwork]):
    dw = case.normal(case.w.shape[-1])
    actual = case.problem.f.jvp(case.w, dw)
    for index, problem, _, w in case.replicates():
        depth, width = problem.depth, problem.f.width
        matrices, changes = cut(w, depth, width), cut(dw[index], depth, width)
        terms = [multiplied([*matrices[:k], changes[k], *matrices[k + 1 :]], width)[0] for k in range(depth + 1)]
        assert_allclose(actual[index], *exactly(np.sum(terms, axis=0), terms))


@given(linear_networks())
def test_vjp_and_jacobian_replace_one_weight_at_a_time(case: Case[LinearNetwork]):
    g = case.normal(case.problem.f.width)
    jacobian, vjp = case.problem.f.jacobian(case.w), case.problem.f.vjp(case.w, g)
    for index, problem, _, w in case.replicates():
        J = naive_jacobian(w, problem.depth, problem.f.width)
        assert_allclose(jacobian[index], *exactly(J))
        assert_allclose(vjp[index], *exactly(J.T @ g[index], J))


@given(single)
def test_curvature_replaces_two_weights_at_a_time(case: Case[LinearNetwork]):
    f, w, depth, width = case.problem.f, case.w, case.problem.depth, case.problem.f.width
    g = case.normal(width)
    # v has degree one in each weight, so that a difference with any step is exact.
    desired = [(naive_jacobian(w + e, depth, width) - naive_jacobian(w, depth, width)).T @ g for e in np.eye(len(w))]
    assert_allclose(f.curvature(w, g), *exactly(np.array(desired).T, naive_jacobian(w, depth, width)))


@given(linear_networks())
def test_flatten_undoes_unflatten(case: Case[LinearNetwork]):
    f = case.problem.f
    assert_array_equal(f.flatten(*f.unflatten(case.w)), case.w)


@given(linear_networks())
def test_the_best_outputs_are_ridges_best_response(case: Case[LinearNetwork]):
    problem, lam = case.problem, case.lam
    ridge = ridge_of(problem)
    assert_allclose(problem.f(problem.best_response(lam)), *exactly(ridge.best_response(lam)))
    assert_allclose(problem.best_output_jacobian(lam), *exactly(ridge.best_response_jacobian(lam)))
    terms = np.abs(ridge.best_response_jacobian(lam)).max() * ridge.valid_grad_w(lam, ridge.best_response(lam))
    assert_allclose(problem.hypergradient(lam), *exactly(ridge.hypergradient(lam), terms))


@given(single)
def test_the_least_theta_has_nothing_in_the_null_space(case: Case[LinearNetwork]):
    problem, lam = case.problem, case.lam
    Theta, J = (
        problem.best_response_jacobian(lam),
        naive_jacobian(problem.best_response(lam), problem.depth, problem.f.width),
    )
    null_space = np.linalg.svd(J)[2][problem.f.width :]
    assert_allclose(null_space @ Theta, *exactly(np.zeros((len(null_space), 1)), Theta))


@given(single)
def test_the_optimum_is_ridges(case: Case[LinearNetwork]):
    actual, desired = case.problem.optimum(), ridge_of(case.problem).optimum()
    # The same curve to rounding, which the minimiser sees as a shift of λ by its square root at most.
    assert_allclose(actual.loss_star, *exactly(desired.loss_star))
    assert_allclose(actual.lam_star, desired.lam_star, atol=1e-4)
    assert actual.where == desired.where


@given(single, st.integers(1, 3))
def test_the_example_of_equal_matrices_is_a_power(case: Case[LinearNetwork], depth: int):
    width = case.problem.f.width
    W, row = case.normal(width, width), case.normal(width)
    w = np.concatenate([*[W.reshape(-1)] * depth, row])
    assert_allclose(Product(depth, width)(w), *exactly(row @ np.linalg.matrix_power(W, depth)))
