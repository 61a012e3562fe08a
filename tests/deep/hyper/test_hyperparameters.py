"""Appendix F and Eqn. 2.7: bounds, starts, whole numbers, and which λ a value is read at."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deep.hyper.declared import Hyperparameter
from deep.hyper.hyperparameters import Hyperparameters, Pass
from deep.tuner.tuner import Tuner
from reference.console.command import UserError
from tests.deep.strategies import close, half_square

inside = st.floats(0.01, 0.99)


@given(st.floats(-50, 50), st.floats(0.1, 100), inside)
def test_values_start_at_the_start_and_stay_within_bounds(low: float, width: float, part: float) -> None:
    start = low + part * width
    subject = Hyperparameter("x", start=start, low=low, high=low + width)
    lam = torch.tensor([subject.lam, -1e3, 1e3], dtype=torch.float64)
    close(subject(lam), [start, low, low + width], 1e-9)


@given(st.sampled_from([(0.0, math.inf), (-math.inf, math.inf), (-1.0, 7.0)]), st.floats(-3, 3))
def test_s_is_the_references(bounds: tuple[float, float], lam: float) -> None:
    subject = Hyperparameter("x", start=1.5, low=bounds[0], high=bounds[1])
    close(subject(torch.tensor([lam], dtype=torch.float64)), subject.transform(np.array([lam])))


@given(st.integers(1, 9999), st.integers(1, 9999), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_a_count_that_is_put_to_k_reads_k(k: int, more: int, bounded: bool, dtype: torch.dtype) -> None:
    """At its start, or set; the upper bound itself too."""
    high = float(k + more) if bounded else math.inf
    hyper = Hyperparameters([Hyperparameter("count", start=float(k), high=high, discrete=True)])
    hyper.lam.data = hyper.lam.data.to(dtype)
    assert hyper["count"].item() == k
    if bounded:
        hyper.set({"count": high})
        assert hyper["count"].item() == high


@given(st.floats(1e-3, 1e3), st.floats(-30, 30))
def test_values_that_were_read_can_be_set(high: float, lam: float) -> None:
    """In single precision s(λ) may pass its bound by a rounding error."""
    hyper = Hyperparameters([Hyperparameter("rate", start=high / 2, high=high)])
    hyper.lam.data.fill_(lam)
    before = hyper.values()
    hyper.set(before)
    assert hyper.values()["rate"] == pytest.approx(before["rate"], rel=1e-6, abs=1.1e-6 * high)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4))
def test_counts_are_the_whole_number_below(eps: list[float]) -> None:
    hyper = Hyperparameters([Hyperparameter("count", start=4.5, high=9.0, discrete=True)])
    lam = hyper.lam.detach().double() + torch.tensor(eps, dtype=torch.float64)[:, None]
    wanted = [math.floor(9 / (1 + math.exp(-float(item)))) for item in lam[:, 0]]
    with hyper.during(Pass(lam, None, len(eps))):
        assert hyper["count"].tolist() == wanted


def test_values_are_one_for_each_example_or_one_a_batch() -> None:
    hyper = Hyperparameters([Hyperparameter("a", start=1.0), Hyperparameter("b", start=2.0, per="batch")])
    with hyper.during(Pass(torch.zeros(3, 2), None, 3)):
        assert (hyper["a"].shape, hyper["b"].shape) == ((3,), ())
    with hyper.during(Pass(torch.zeros(1, 2), None, 3)):
        assert (hyper["a"].shape, hyper["b"].shape) == ((3,), ())
    assert hyper["a"].shape == hyper["b"].shape == ()
    close(torch.stack([hyper["a"], hyper["b"]]), [1.0, 2.0], 1e-6)


def test_one_eps_a_batch_is_shared_beside_one_for_each_example() -> None:
    hyper = Hyperparameters([Hyperparameter("a", start=1.0), Hyperparameter("b", start=2.0, per="batch")])
    seen: list[torch.Tensor] = []

    def loss(y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        seen.append(hyper.now.lam.detach().clone())
        return half_square(y, t) + 0 * (hyper["a"].mean() + hyper["b"])

    tuner = Tuner(torch.nn.Linear(2, 1), hyper, loss)
    tuner.inner_step(torch.ones(5, 2), torch.ones(5, 1))
    at_eps = seen[1]
    assert len(set(at_eps[:, 0].tolist())) == 5
    assert len(set(at_eps[:, 1].tolist())) == 1


@given(st.floats(0.05, 5))
def test_sigma_is_a_positive_standard_deviation(sigma: float) -> None:
    """softplus of raw_sigma, whose entropy is Σ log σ + const with derivative 1/σ."""
    hyper = Hyperparameters([Hyperparameter("a", start=1.0), Hyperparameter("b", start=2.0)], sigma=sigma)
    close(hyper.sigma, [sigma] * 2, 1e-5)
    (slope,) = torch.autograd.grad(hyper.entropy, hyper.raw_sigma)
    close(slope, torch.sigmoid(hyper.raw_sigma) / hyper.sigma, 1e-5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Hyperparameter("x", start=0.0), "'x'.* its start 0.0 is not strictly between 0.0 and inf"),
        (lambda: Hyperparameter("x", start=1.0, high=1.0), "strictly between"),
        (lambda: Hyperparameter("x", start=2.0, high=1.0), "strictly between"),
        (lambda: Hyperparameter("x", start=math.nan), "strictly between"),
        (lambda: Hyperparameter("x", start=2.0, low=1.0), "bounds are two numbers, or 0 and inf"),
        (lambda: Hyperparameters([]), "nothing to tune"),
        (lambda: Hyperparameters([Hyperparameter("x", start=1.0)] * 2), "'x' is declared twice"),
        (lambda: Hyperparameters([Hyperparameter("x", start=1.0)], sigma=0.0), "scale 0.0 is not"),
        (lambda: Hyperparameters([Hyperparameter("x", start=1.0)])["y"], "is named 'y'; there are x"),
        (lambda: Hyperparameters([Hyperparameter("x", start=1.0)]).set({"y": 1.0}), "is named 'y'; there are x"),
        (lambda: Hyperparameters([Hyperparameter("x", start=1.0)]).set({"x": -1.0}), "-1.0 is not between"),
        (lambda: Hyperparameters([Hyperparameter("x", start=1.0)]).set({"x": math.inf}), "inf is not between"),
    ],
)
def test_what_cannot_be_is_one_line(build, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


@given(st.sampled_from([0.0, 1e-9, 0.3, 1.0]))
def test_values_can_be_set_and_bounds_themselves_nearly(value: float) -> None:
    hyper = Hyperparameters([Hyperparameter("rate", start=0.5, high=1.0), Hyperparameter("decay", start=1.0)])
    hyper.lam.data = hyper.lam.data.double()
    hyper.set({"rate": value, "decay": value})
    for actual in hyper.values().values():
        assert actual == pytest.approx(value, rel=1e-9, abs=1.1e-6 if value in (0.0, 1.0) else 0.0)
