"""What the tests of `reference` draw their cases from, and the numerical routes that they share.

A strategy draws sizes, a seed and a spectrum; the entries follow from the seed. (Entries drawn one by one are mostly
zeros and extremes, and their matrices mostly singular.) Everything drawn is read-only: a function under test that
wrote into its arguments would fail.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from typing import Any, Generic, NamedTuple, TypeVar, cast

import numpy as np
from hypothesis import strategies as st
from jaxtyping import config
from numpy import ndarray
from sklearn.linear_model import LogisticRegression

from reference.beyond.problems.grouped import GroupedPenalties, GroupedRates, GroupedRegression
from reference.beyond.problems.logistic import Logistic
from reference.bilevel.problem import Problem
from reference.bilevel.transforms import Exp, Linear, Transform
from reference.problems.dropout import InputDropout
from reference.problems.linear_network import LinearNetwork
from reference.problems.quadratic import Quadratic, QuadraticProblem
from reference.problems.ridge import Ridge
from reference.rule.hypernet import FullResponse, Response
from reference.rule.structured import LayeredResponse, StructuredResponse

EXACT = 1e-10
"""Two routes through exact algebra: the spectra below keep condition numbers under 1e5, which costs 5 of 16 digits."""

STEP = np.finfo(float).eps ** (1 / 3)
DIFFERENCE = 1e-6
"""Central differences: their truncation is of order STEP² = 4e-11 times a third derivative."""

ROUNDING = 1e-9
"""... and their rounding eps / STEP = 4e-11 times the terms that cancel, here with a margin."""

P = TypeVar("P", bound=Problem)


class Desired(NamedTuple):
    """The other arguments of `assert_allclose(actual, *desired)`."""

    value: ndarray
    rtol: float
    atol: float


def exactly(value: Any, *terms: Any) -> Desired:
    """`value` to within rounding, which is measured by the largest entry of it and of the `terms` that cancel in it."""
    return Desired(value, EXACT, EXACT * max(np.abs(term).max(initial=0.0) for term in (value, *terms)))


def differences(function: Callable[[ndarray], Any], x: ndarray, *terms: Any) -> Desired:
    """∂function/∂x by central differences in the last axis of x, which becomes the last axis of the answer.

    All replicates move at once: an entry of `function` that depended on another replicate's x would come out wrong.
    """
    ahead, behind = (np.array([function(x + sign * STEP * e) for e in np.eye(x.shape[-1])]) for sign in (1, -1))
    value = np.moveaxis((ahead - behind) / (2 * STEP), 0, -1)
    cancelling = max(np.abs(term).max() for term in (ahead, behind, *terms))
    return Desired(value, DIFFERENCE, DIFFERENCE * np.abs(value).max() + ROUNDING * cancelling)


def slope(residual: Callable[[float], Any], small: float = 1e-3) -> float:
    """The order in t at which ‖residual(t)‖ vanishes, between t = small and twice that."""
    return float(np.log2(np.linalg.norm(residual(2 * small)) / np.linalg.norm(residual(small))))


@contextmanager
def no_type_checks() -> Iterator[None]:
    """As a user runs the code: annotations are checked under pytest only, and before the code's own checks."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", before)


def scikit_learns_weights(X: ndarray, t: ndarray, decay: float, sample_weight: ndarray | None = None) -> ndarray:
    """Softmax regression's (c, p) under decay ½‖W‖² added to the sum over rows, all classes being seen."""
    two = len(np.unique(t)) == 2
    # Of two classes scikit-learn fits the difference u of the two rows, which are ∓u/2: ‖W‖² = ½u².
    C = (2 if two else 1) / decay
    fit = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10_000, solver="newton-cg")
    fit.fit(X, t, sample_weight=sample_weight)
    return np.concatenate([-fit.coef_, fit.coef_]) / 2 if two else fit.coef_


# Sizes, seeds and spectra.

LEADS = ((), (1,), (3,), (2, 2))
seeds = st.integers(0, 2**32 - 1)
leads = st.sampled_from(LEADS)
sizes = st.integers(1, 4)
rows = st.integers(1, 7)
widths = st.integers(2, 3)
few = st.integers(1, 3)
either = st.booleans()
never = st.just(False)
transforms: st.SearchStrategy[Transform] = st.sampled_from([Exp(), Linear()])


def generators() -> st.SearchStrategy[np.random.Generator]:
    """A random generator from a drawn seed."""
    return seeds.map(np.random.default_rng)


def spectra(k: int, low: float = -1.0, high: float = 1.0) -> st.SearchStrategy[ndarray]:
    """k positive numbers whose powers of ten lie between low and high."""
    return st.lists(st.floats(low, high), min_size=k, max_size=k).map(lambda powers: 10.0 ** np.array(powers))


def read_only(array: ndarray) -> ndarray:
    """The same array, which nothing may write into."""
    array.flags.writeable = False
    return array


def normal(rng: np.random.Generator, *shape: int) -> ndarray:
    """Standard normals."""
    return read_only(rng.normal(size=shape))


def orthonormal(rng: np.random.Generator, lead: tuple[int, ...], n: int, k: int) -> ndarray:
    """Matrices (*lead, n, k) with orthonormal columns."""
    return np.linalg.qr(rng.normal(size=(*lead, n, k)))[0]


def matrix(rng: np.random.Generator, lead: tuple[int, ...], n: int, m: int, singular_values: ndarray) -> ndarray:
    """Matrices (*lead, n, m) with the singular values given and random singular vectors."""
    k = len(singular_values)
    return read_only((orthonormal(rng, lead, n, k) * singular_values) @ orthonormal(rng, lead, m, k).mT)


def symmetric(rng: np.random.Generator, lead: tuple[int, ...], eigenvalues: ndarray) -> ndarray:
    """Symmetric matrices with the eigenvalues given and random eigenvectors."""
    Q = orthonormal(rng, lead, len(eigenvalues), len(eigenvalues))
    half = (Q * eigenvalues) @ Q.mT / 2
    return read_only(half + half.mT)


# Problems.


@dataclass(frozen=True)
class Case(Generic[P]):
    """A problem and a point (λ, w) of it; the leading axes `lead` are also the problem's unless it is shared."""

    problem: P
    lam: ndarray
    w: ndarray
    lead: tuple[int, ...]
    shared: bool
    rng: np.random.Generator

    def replicates(self) -> Iterator[tuple[tuple[int, ...], P, ndarray, ndarray]]:
        """Each replicate's index, problem, λ and w."""
        for index in np.ndindex(self.lead):
            problem = self.problem if self.shared else replicate(self.problem, index)
            yield index, problem, self.lam[index], self.w[index]

    def normal(self, *shape: int) -> ndarray:
        """More standard normals, with the leading axes of λ and w."""
        return normal(self.rng, *self.lead, *shape)


D = TypeVar("D")


def replicate(data: D, index: tuple[int, ...]) -> D:
    """One replicate of an object whose arrays all have the leading axes of `index`."""
    assert is_dataclass(data)
    parts = {field.name: getattr(data, field.name) for field in fields(data)}
    cut = {
        name: part[index] if isinstance(part, ndarray) else replicate(part, index)
        for name, part in parts.items()
        if isinstance(part, ndarray | Quadratic)
    }
    return cast(D, replace(cast(Any, data), **cut))


@st.composite
def regressions(
    draw: st.DrawFn,
    build: Callable[[tuple[ndarray, ndarray, ndarray, ndarray], int], P],
    m: st.SearchStrategy[int],
    n: st.SearchStrategy[int],
    leads: st.SearchStrategy[tuple[int, ...]],
    shift: float = 0.0,
) -> Case[P]:
    """What `build` makes of data with drawn singular values, of more rows than columns or fewer; and a point."""
    rng, lead, shared = draw(generators()), draw(leads), draw(st.booleans())
    columns, rows, rows_valid = draw(m), draw(n), draw(st.integers(1, 5))
    data_lead = () if shared else lead
    X = matrix(rng, data_lead, rows, columns, draw(spectra(min(rows, columns))))
    X_valid = normal(rng, *data_lead, rows_valid, columns)
    t, t_valid = normal(rng, *data_lead, rows), normal(rng, *data_lead, rows_valid)
    problem = build((X, t, X_valid, t_valid), rows)
    lam = draw(st.floats(-2.0, 2.0)) + shift + rng.uniform(-1.0, 1.0, size=(*lead, 1))
    return Case(problem, read_only(lam), normal(rng, *lead, columns), lead, shared, rng)


@st.composite
def ridges(
    draw: st.DrawFn,
    leads: st.SearchStrategy[tuple[int, ...]] = leads,
    s: st.SearchStrategy[Transform] = transforms,
    n: st.SearchStrategy[int] = rows,
    m: st.SearchStrategy[int] = sizes,
    metric: st.SearchStrategy[bool] = never,
) -> Case[Ridge]:
    """Ridge regression, its penalty divided by n or not; where λ is the penalty itself it is between 0.5 and 6.5.

    With a metric, D is between 0.1 and 10, for each replicate that has data of its own.
    """
    transform, divided, in_metric, powers = draw(s), draw(st.booleans()), draw(metric), draw(generators())
    shift = 3.5 if isinstance(transform, Linear) else 0.0

    def build(data: tuple[ndarray, ndarray, ndarray, ndarray], n: int) -> Ridge:
        X = data[0]
        D = read_only(10.0 ** powers.uniform(-1.0, 1.0, (*X.shape[:-2], X.shape[-1]))) if in_metric else 1.0
        with no_type_checks():  # as in `responses`
            return Ridge(*data, divisor=float(n if divided else 1), s=transform, metric=D)

    return draw(regressions(build, m, n, leads, shift))


@st.composite
def dropouts(
    draw: st.DrawFn,
    leads: st.SearchStrategy[tuple[int, ...]] = leads,
    inverted: st.SearchStrategy[bool] = either,
    n: st.SearchStrategy[int] = rows,
    m: st.SearchStrategy[int] = sizes,
) -> Case[InputDropout]:
    """Input dropout with both scalings; the rate p is between 0.05 and 0.95."""
    scaling = draw(inverted)
    return draw(regressions(lambda data, n: InputDropout(*data, inverted=scaling), m, n, leads))


@st.composite
def linear_networks(
    draw: st.DrawFn,
    leads: st.SearchStrategy[tuple[int, ...]] = leads,
    widths: st.SearchStrategy[int] = widths,
) -> Case[LinearNetwork]:
    """Linear networks of one to three hidden layers; their square matrices are the identity and noise of 0.3."""
    depth, divided, width = draw(st.integers(1, 3)), draw(st.booleans()), draw(widths)
    case = draw(
        regressions(
            lambda data, n: LinearNetwork(*data, divisor=float(n if divided else 1), depth=depth),
            st.just(width),
            rows,
            leads,
        )
    )
    matrices = np.eye(width) + 0.3 * case.rng.normal(size=(*case.lead, depth, width, width))
    w = np.concatenate([matrices.reshape(*case.lead, -1), case.w], axis=-1)
    return replace(case, w=read_only(w))


@st.composite
def groups(draw: st.DrawFn, m: int, most: int = 3) -> tuple[int, ...]:
    """Which of up to `most` hyperparameters each of m features obeys; every one of them is obeyed."""
    h = draw(st.integers(1, min(m, most)))
    rest = draw(st.lists(st.integers(0, h - 1), min_size=m - h, max_size=m - h))
    return tuple(draw(st.permutations([*range(h), *rest])))


@st.composite
def many(
    draw: st.DrawFn,
    leads: st.SearchStrategy[tuple[int, ...]] = leads,
    kinds: tuple[type[GroupedRegression], ...] = (GroupedPenalties, GroupedRates),
    n: st.SearchStrategy[int] = rows,
    m: st.SearchStrategy[int] = sizes,
) -> Case[Any]:
    """Penalties or drop rates of one to three groups of up to four features."""
    columns, kind, divided = draw(m), draw(st.sampled_from(kinds)), draw(st.booleans())
    group = draw(groups(columns))

    def build(data: tuple[ndarray, ...], n: int) -> GroupedRegression:
        with no_type_checks():  # as in `responses`
            if kind is GroupedRates:
                return GroupedRates(*data, group=group)
            return GroupedPenalties(*data, group=group, divisor=float(n if divided else 1))

    case = draw(regressions(build, st.just(columns), n, leads))
    lam = case.lam + case.rng.uniform(-1.0, 1.0, size=(*case.lead, max(group) + 1))
    return replace(case, lam=read_only(lam))


@st.composite
def logistics(draw: st.DrawFn, leads: st.SearchStrategy[tuple[int, ...]] = leads) -> Case[Logistic]:
    """Softmax regression on two or three classes and one or two inputs, tuned by one, two or all of its λ."""
    rng, lead, shared = draw(generators()), draw(leads), draw(st.booleans())
    c, p, n, n_valid, divided = (draw(part) for part in (widths, st.integers(1, 2), rows, st.integers(1, 5), either))
    h, data_lead = draw(st.sampled_from([1, 2, 2 + c])), () if shared else lead
    X, X_valid = normal(rng, *data_lead, n, p), normal(rng, *data_lead, n_valid, p)
    t, t_valid = (read_only(rng.integers(0, c, (*data_lead, rows))) for rows in (n, n_valid))
    problem = Logistic(X, t, X_valid, t_valid, classes=c, divisor=float(n if divided else 1), h=h)
    lam = draw(st.floats(-2.0, 2.0)) + rng.uniform(-1.0, 1.0, size=(*lead, h))
    return Case(problem, read_only(lam), normal(rng, *lead, c * p), lead, shared, rng)


def blocks(rng: np.random.Generator, lead: tuple[int, ...], M: ndarray, m: int) -> Quadratic:
    """Eqn. C.9 with the matrix M = [[A, B], [Bᵀ, C]] of size m + h and random d, e and c."""
    A, B, C = (read_only(np.ascontiguousarray(part)) for part in (M[..., :m, :m], M[..., :m, m:], M[..., m:, m:]))
    return Quadratic(
        A, B, C, d=normal(rng, *lead, m), e=normal(rng, *lead, C.shape[-1]), c=np.array(rng.normal(size=lead))
    )


@st.composite
def quadratics(
    draw: st.DrawFn,
    leads: st.SearchStrategy[tuple[int, ...]] = leads,
    h: st.SearchStrategy[int] = few,
) -> Case[QuadraticProblem]:
    """Two quadratic losses of m ≤ 4 weights and h ≤ 3 hyperparameters, the validation loss convex in (λ, w)."""
    rng, lead, shared = draw(generators()), draw(leads), draw(st.booleans())
    m, k = draw(sizes), draw(h)
    data_lead = () if shared else lead
    train = blocks(rng, data_lead, normal(rng, *data_lead, m + k, m + k), m)
    A, C = symmetric(rng, data_lead, draw(spectra(m))), symmetric(rng, data_lead, rng.normal(size=k))
    valid = blocks(rng, data_lead, symmetric(rng, data_lead, draw(spectra(m + k))), m)
    problem = QuadraticProblem(replace(train, A=A, C=C), valid)
    return Case(problem, normal(rng, *lead, k), normal(rng, *lead, m), lead, shared, rng)


def problems(leads: st.SearchStrategy[tuple[int, ...]] = leads) -> st.SearchStrategy[Case[Any]]:
    """Any problem of `reference`."""
    regressions = ridges(leads, metric=either), dropouts(leads), linear_networks(leads), many(leads)
    return st.one_of(*regressions, quadratics(leads), logistics(leads))


# Responses.


def full_response(rng: np.random.Generator, lead: tuple[int, ...], m: int, h: int) -> FullResponse:
    """Eqn. 3.1 with a random Θ."""
    return FullResponse(normal(rng, *lead, m, h))


def structured_response(rng: np.random.Generator, lead: tuple[int, ...], o: int, i: int, h: int) -> StructuredResponse:
    """Eqn. 3.14 for a layer of o units with i inputs, all four arrays random."""
    return StructuredResponse(*(normal(rng, *lead, *shape) for shape in ((o, i), (o,), (o, h), (o, h))))


@st.composite
def responses(draw: st.DrawFn, rng: np.random.Generator, lead: tuple[int, ...], m: int, h: int) -> Response:
    """A response of m weights to h hyperparameters: full, structured, or one for each of two layers."""
    units = [o for o in range(1, m // 2 + 1) if m % o == 0]
    kinds = ["full"] + ["structured"] * bool(units) + ["layered"] * (m > 1)
    kind = draw(st.sampled_from(kinds))
    if kind == "full":
        return full_response(rng, lead, m, h)
    if kind == "structured":
        o = draw(st.sampled_from(units))
        return structured_response(rng, lead, o, m // o - 1, h)
    first = draw(st.integers(1, m - 1))
    layers = draw(responses(rng, lead, first, h)), draw(responses(rng, lead, m - first, h))
    with no_type_checks():  # they pick a tuple's entries by `random`, which hypothesis bans within strategies
        return LayeredResponse(layers, (first, m - first))


def parameters(response: Response) -> list[ndarray]:
    """All arrays of a response."""
    if isinstance(response, LayeredResponse):
        return [array for layer in response.layers for array in parameters(layer)]
    return [getattr(response, field.name) for field in fields(cast(Any, response))]


def with_parameters(response: Response, arrays: Sequence[ndarray]) -> Response:
    """The same kind of response with other arrays."""
    if isinstance(response, LayeredResponse):
        rest, layers = list(arrays), []
        for layer in response.layers:
            k = len(parameters(layer))
            layers.append(with_parameters(layer, rest[:k]))
            rest = rest[k:]
        return replace(response, layers=tuple(layers))
    return type(response)(*arrays)


def dense(response: Response) -> ndarray:
    """Θ (..., m, h) entry by entry: Eqn. 3.14's units one after the other, each its weights and then the biases."""
    if isinstance(response, LayeredResponse):
        return np.concatenate([dense(layer) for layer in response.layers], axis=-2)
    if isinstance(response, FullResponse):
        return response.Theta
    assert isinstance(response, StructuredResponse)
    o, i = response.W_response.shape[-2:]
    weights = [
        response.W_response[..., [unit], [j]] * response.U[..., unit, :] for unit, j in product(range(o), range(i))
    ]
    biases = [response.b_response[..., [unit]] * response.V[..., unit, :] for unit in range(o)]
    return np.stack([*weights, *biases], axis=-2)


def chain_rule(response: Response, G: ndarray) -> list[ndarray]:
    """∂L/∂(each parameter) of one replicate, from G = ∂L/∂Θ and differences of Θ, exact since Θ is of degree two."""
    arrays, gradients = parameters(response), []
    for k, array in enumerate(arrays):
        gradient = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            move = np.zeros(array.shape)
            move[index] = 1.0
            ahead, behind = (
                dense(with_parameters(response, [*arrays[:k], array + sign * move, *arrays[k + 1 :]]))
                for sign in (1, -1)
            )
            gradient[index] = np.sum(G * (ahead - behind) / 2)
        gradients.append(gradient)
    return gradients
