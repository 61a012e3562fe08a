"""Figure b3 draws what the records of `toy.beyond.structure` hold, and nothing else."""

import pytest
from numpy.testing import assert_array_equal

from figures.beyond.toy import figb3
from reference.console import records
from toy.beyond import structure
from toy.console.processes import execute


@pytest.fixture
def measured(tmp_path, monkeypatch):
    monkeypatch.setattr(structure, "STEPS", 5)
    monkeypatch.setattr(structure, "GROUPS", {10: (1, 5), 20: (1, 20)})
    monkeypatch.setattr(structure, "TRAINED", 10)
    monkeypatch.setattr(figb3, "DATA", ("diabetes",))
    execute(figb3.pending(tmp_path), structure.run, 1)
    return list(records.find(tmp_path / structure.EXPERIMENT))


def test_every_line_is_a_column_of_a_record(measured):
    figure = figb3.draw(measured)
    panels = figure.get_axes()
    assert [axes.get_ylabel() for axes in panels] == ["relative error", "cosine", "signs that agree"]
    by_width = {record.settings["width"]: record.history for record in measured}
    for axes, measure in zip(panels, figb3.MEASURES, strict=True):
        lines = {line.get_gid(): line for line in axes.get_lines() if line.get_gid() != "chance"}
        wide = {f"{name}: 20" for name in ("loss", "frobenius", "rate_loss")}
        assert set(lines) == wide | {f"{name}: 10" for name in figb3.LOOKS}
        for gid, line in lines.items():
            name, width = str(gid).split(": ")
            assert_array_equal(line.get_xdata(), by_width[int(width)]["h"])
            assert_array_equal(line.get_ydata(), by_width[int(width)][f"{name}_{measure}"])
    caption = figb3.caption(measured)
    assert "5 steps" in caption
    assert "at one λ, penalties 50 or rates 0.2, w0 = r(λ), and on one split, seed 0." in caption
    assert "10 (thick) and 20 random features (thin); nothing is trained for rates, nor with 20 features." in caption
