"""Appendix F: s, its derivative and its inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from reference.bilevel.transforms import Exp, Linear, Logistic, Transform
from tests.strategies import EXACT, differences, exactly


@st.composite
def logistics(draw: st.DrawFn) -> Logistic:
    """Search spaces of width between 0.01 and 100."""
    low = draw(st.floats(-10, 10))
    return Logistic(low, low + draw(st.floats(0.01, 100)))


transforms: st.SearchStrategy[Transform] = st.just(Exp()) | st.just(Linear()) | logistics()
# At λ = ±8 a logistic s is 3e-4 of its range from a bound, so that s⁻¹ loses four digits.
lams = st.floats(-8, 8)


@given(transforms, lams)
def test_the_inverse_undoes_s(s, lam):
    scale = 1.0 if not isinstance(s, Logistic) else 1.0 + abs(s.low) / (s.high - s.low)
    assert_allclose(s.inverse(float(s(np.array([lam]))[0])), lam, rtol=EXACT, atol=EXACT * scale)


@given(transforms, st.floats(0.01, 0.99))
def test_s_undoes_the_inverse(s, part):
    value = s.low + part * (s.high - s.low) if isinstance(s, Logistic) else 10.0 * part
    assert_allclose(s(np.array([s.inverse(value)])), *exactly(np.array([value])))


@given(transforms, st.lists(lams, min_size=1, max_size=4))
def test_the_derivative_is_the_slope_of_s(s, values):
    lam = np.array(values)
    slopes = differences(s, lam)
    assert_allclose(np.diag(s.derivative(lam)), *slopes)


@given(transforms, lams, st.floats(0.01, 1))
def test_s_grows_within_its_bounds(s, lam, more):
    less, greater = s(np.array([lam])), s(np.array([lam + more]))
    assert (s.low < less).all()
    assert (less < greater).all()
    assert (greater < s.high).all()


@given(transforms.filter(lambda s: not isinstance(s, Linear)), st.floats(0, 100))
def test_at_or_outside_a_bound_there_is_no_inverse(s, beyond):
    for value in (s.low - beyond, s.high + beyond, np.nan, -np.inf, np.inf):
        with pytest.raises(ValueError, match="no finite λ"):
            s.inverse(value)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_the_penalty_itself_must_be_finite(value):
    with pytest.raises(ValueError, match="no finite λ"):
        Linear().inverse(value)


@given(logistics(), lams)
def test_a_logistic_is_a_hyperbolic_tangent_about_the_middle(s, lam):
    middle, half = (s.low + s.high) / 2, (s.high - s.low) / 2
    assert_allclose(s(np.array([lam])), *exactly(np.array([middle + half * np.tanh(lam / 2)]), s.low, s.high))


def test_far_from_zero_the_slope_of_a_logistic_vanishes_without_overflow():
    far = np.array([-1e4, -700.0, 700.0, 1e4])
    assert_array_equal(Logistic(1.0, 3.0)(far).round(12), [1.0, 1.0, 3.0, 3.0])
    assert (Logistic(1.0, 3.0).derivative(far) < 1e-300).all()
