from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures.reading.verdicts import CLAIMS, Claim, number, regret, same, spike, verdict
from tests.figures.made import NO_PENALTY, record

CLAIM = Claim("ridge", "STN", "Δ-STN", "regret", "Δ-STN ends closer")
SPIKE = Claim("ridge", "STN", "Reparam STN", "spike", "centring removes the spike")


def runs(method, per_cent):
    """One run for each regret, in per cent; infinity stands for a run that diverged."""
    return [
        record(method, seed, regret=[0.5, value / 100], lam=[0.0, 1.0])
        if np.isfinite(value)
        else record(method, seed, regret=[0.5, 0.9], lam=[0.0, 1.0], outcome="diverged by update 5")
        for seed, value in enumerate(per_cent)
    ]


def judged(worse, better):
    return verdict(CLAIM, [*runs("STN", worse), *runs("Δ-STN", better)])


def test_as_the_paper_with_ranges_apart():
    said = judged([2, 3, 4, 5, 6], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert said == "as the paper: Δ-STN 0.3 %, STN 4 %; lower in 5 of 5 seeds, higher in 0"


def test_ranges_that_overlap_are_said_to():
    said = judged([2, 3, 4, 5, 6], [0.1, 0.2, 0.3, 0.4, 8])
    assert said == "as the paper: Δ-STN 0.3 %, STN 4 %; lower in 4 of 5 seeds, higher in 1; ranges overlap"


def test_the_reversed_order_is_not_as_the_paper():
    said = judged([0.1, 0.2, 0.3, 0.4, 0.5], [2, 3, 4, 5, 6])
    assert said == "not as the paper: Δ-STN 4 %, STN 0.3 %; lower in 0 of 5 seeds, higher in 5"


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ([1, 2, 3, 4, 5], [1.05, 2.1, 2.9, 3.8, 5.2]),  # within a tenth, every seed and the medians
        ([1, 1, 5, 6, 7], [2, 2, 4, 6, 7]),  # the median is lower, most seeds are not
        ([1e-4, 2e-4, 3e-4], [9e-4, 8e-4, 7e-4]),  # all below what counts
        ([1, 2, 3, 4], [0.5, 1, 3, 4]),  # lower in exactly half of the seeds
    ],
)
def test_no_difference(worse, better):
    assert judged(worse, better).startswith("no difference: ")


def test_one_divergence_is_the_worst_regret_of_all():
    assert judged([2, 3, np.inf], [1, 1, 50]) == (
        "as the paper: Δ-STN 1 %, STN 3 %; lower in 3 of 3 seeds, higher in 0; ranges overlap"
    )
    assert judged([2, 3, 4], [np.inf, np.inf, 1]) == (
        "not as the paper: Δ-STN ∞ %, STN 3 %; lower in 1 of 3 seeds, higher in 2; ranges overlap"
    )


def test_all_of_one_method_diverged():
    assert judged([np.inf] * 3, [1, 2, 3]).startswith("as the paper: Δ-STN 2 %, STN ∞ %; lower in 3 of 3")
    assert judged([1, 2, 3], [np.inf] * 3).startswith("not as the paper: Δ-STN ∞ %, STN 2 %")


def test_all_of_both_diverged():
    assert judged([np.inf] * 3, [np.inf] * 3) == "no verdict: every run of both diverged"


def test_a_method_without_records():
    assert judged([1, 2], []) == "no verdict: no seed has records of both STN and Δ-STN"


def test_beyond_the_paper_a_verdict_has_words_of_its_own():
    group = [*runs("STN", [2, 3, 4]), *runs("Δ-STN", [1, 1, 1])]
    assert verdict(CLAIM, group, ("better", "worse")).startswith("better: Δ-STN 1 %, STN 3 %")
    other = [*runs("STN", [1, 1, 1]), *runs("Δ-STN", [2, 3, 4])]
    assert verdict(CLAIM, other, ("better", "worse")).startswith("worse: Δ-STN 3 %, STN 1 %")


def test_only_seeds_that_both_have_are_compared():
    assert "of 2 seeds" in judged([1, 2, 3, 4], [0.1, 0.2])


regrets = st.lists(st.floats(0.01, 100) | st.just(np.inf), min_size=5, max_size=5)


@given(a=regrets, b=regrets)
def test_swapping_the_methods_turns_the_verdict_round(a, b):
    turned = {"as the paper": "not as the paper", "not as the paper": "as the paper"}
    word, other = (said.partition(":")[0] for said in (judged(a, b), judged(b, a)))
    assert other == turned.get(word, word)


@given(a=regrets, b=regrets, order=st.permutations(range(5)))
def test_the_order_of_the_seeds_does_not_matter(a, b, order):
    assert judged([a[i] for i in order], [b[i] for i in order]) == judged(a, b)


@given(a=regrets, factor=st.floats(0.0, 0.8))
def test_a_method_that_is_better_everywhere_is_better(a, factor):
    finite = [value if np.isfinite(value) else 50.0 for value in a]
    assert judged(finite, [factor * value for value in finite]).startswith("as the paper")


def test_final_regret_is_the_last_one_in_per_cent():
    assert regret(record("STN", regret=[0.5, 0.4, 0.03])) == pytest.approx(3.0)
    assert regret(record("STN", outcome="diverged by update 15")) == np.inf


def test_same():
    assert same(1.0, 1.1)
    assert not same(1.0, 1.2)
    assert same(0.0, 0.001)
    assert same(np.inf, np.inf)
    assert not same(np.inf, 1e9)


# Spikes: λ above both its start and λ*, early.


def climbing(method, top, exact=NO_PENALTY, seed=0, updates=1000):
    """λ is `top` at update 5 of so many."""
    run = record(method, seed, lam=[1.0, top, 0.0], exact=exact)
    return replace(run, settings=run.settings | {"schedule": {"updates": updates}})


def test_a_spike_is_measured_from_the_higher_of_start_and_optimum():
    assert spike(climbing("STN", 3.0)) == 2.0
    assert spike(climbing("STN", 3.0, {"lam_star": 2.5, "where": "interior"})) == 0.5
    assert spike(climbing("STN", 0.5)) == 0.0


def test_a_late_climb_is_no_spike():
    assert spike(climbing("STN", 3.0, updates=19)) == 0.0
    assert spike(climbing("STN", 3.0, updates=20)) == 2.0


@pytest.mark.parametrize(
    ("stn", "reparam", "said"),
    [
        (3.0, 1.2, "as the paper: λ climbs by 0.2 with Reparam STN, 2.0 with STN"),
        (3.0, 2.5, "not as the paper: λ climbs by 1.5 with Reparam STN, 2.0 with STN"),
        (1.4, 1.0, "no spike to remove: λ climbs by 0.0 with Reparam STN, 0.4 with STN"),
        (1.4, 3.0, "not as the paper: λ climbs by 2.0 with Reparam STN, 0.4 with STN"),
    ],
)
def test_verdict_on_spikes(stn, reparam, said):
    group = [
        climbing(name, top, seed=seed) for name, top in (("STN", stn), ("Reparam STN", reparam)) for seed in range(3)
    ]
    assert verdict(SPIKE, group) == said


def test_a_run_that_diverged_at_once_has_an_infinite_spike():
    assert spike(record("STN", lam=[], regret=[], outcome="diverged by update 0")) == np.inf


def test_the_claims_name_methods_and_experiments_that_exist():
    for claim in CLAIMS:
        record(claim.worse, experiment=claim.experiment)
        record(claim.better, experiment=claim.experiment)
        assert claim.quantity in ("regret", "spike")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "<0.001"),
        (0.001, "0.001"),
        (0.0347, "0.035"),
        (1.25, "1.2"),
        (99.0, "99"),
        (125.4, "125"),
        (np.inf, "∞"),
        (np.nan, "–"),
    ],
)
def test_two_figures(value, shown):
    assert number(value) == shown
