from dataclasses import replace

import pytest

from figures.beyond.toy.tableb1 import NAMES as BEYOND_NAMES
from figures.beyond.toy.tableb1 import rows, verdicts
from figures.paper.toy.table_toy import NAMES
from figures.reading.variants import CV, CV_SMALL, PAPER, VARIANTS, called
from reference.beyond.control_variate.updates import DELTA_STN_CV
from reference.rule.updates import METHODS
from tests.figures.made import record
from toy.data.datasets import load
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import pending


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_of_a_variant_is_called_by_its_name(name, tmp_path):
    variant = VARIANTS[name]
    (job,) = pending(EXPERIMENTS["dropout"], load("diabetes"), [variant.method], [0], tmp_path, sigma=variant.sigma)
    assert called(replace(record("STN"), settings=job.settings(0))) == name


def test_the_papers_methods_at_their_own_sigma_are_called_as_in_the_paper():
    assert list(PAPER) == [method.name for method in METHODS] == list(NAMES)


@pytest.mark.parametrize("changes", [{"sigma": 0.5}, {"sigma": 0.3}, {"method": {"name": "Δ-STN"}}])
def test_other_runs_have_no_name(changes):
    usual = record("Δ-STN")
    assert called(replace(usual, settings=usual.settings | changes)) is None


def test_the_control_variate_at_another_sigma_is_no_variant(tmp_path):
    (job,) = pending(EXPERIMENTS["ridge"], load("diabetes"), [DELTA_STN_CV], [0], tmp_path, sigma=0.1)
    assert called(replace(record("STN"), settings=job.settings(0))) is None


def test_table_b1_has_a_row_for_each_variant_and_judges_each_pair(records):
    runs = records("ridge", "dropout")
    assert [(row.experiment, row.method, row.seeds) for row in rows(runs, ("ridge", "dropout"), BEYOND_NAMES)] == [
        (experiment, name, 2) for experiment in ("ridge", "dropout") for name in ("STN", "Δ-STN", CV, CV_SMALL)
    ]
    actual = list(verdicts(runs))
    assert len(actual) == 2 * 3
    assert {said.split(":")[0] for *_, said in actual} <= {"better", "worse", "no difference"}
    assert f"{CV} " in actual[0][3]
    assert "Δ-STN " in actual[0][3]
