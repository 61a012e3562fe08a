"""The line beside a progress bar says everything, in its unit, and fits."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from deep.hyper.declared import Hyperparameter
from deep.paper.experiments import EXPERIMENTS
from deep.training.terminal import COLUMNS, FORMAT, summary
from tests.deep.small import run, tuner

HOURS = 4000.0


def terminal(line: str, columns: int = COLUMNS) -> str:
    """The whole line, an hour after the start and ten before the end."""
    return tqdm.format_meter(100, 1100, HOURS, ncols=columns - 1, bar_format=FORMAT, postfix=line)


def values(declared: Sequence[Hyperparameter]) -> dict[str, float]:
    """Of two digits and no two alike; below the bounds."""
    point = [(item.high if item.high < 100 else 1.0) * (0.61 + 0.01 * k) for k, item in enumerate(declared)]
    return {item.name: float(f"{value:.2g}") for item, value in zip(declared, point, strict=True)}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiments_line_fits_into_100_columns_with_all_values_or_their_range(name: str) -> None:
    subject = EXPERIMENTS[name]
    problem = subject.build(subject.presets["smoke"][0], None, 0, None, torch.device("cpu"))
    declared, now = problem.hyper.declared, values(problem.hyper.declared)
    rates = [other.name for other in declared if "drop" in other.name]
    line = summary({"valid_loss": 12.3456, **now}, declared, rates, COLUMNS)
    assert terminal(line).endswith(f"1:06:40<11:06:40, {line}")
    assert line.startswith("valid 12.35 ")
    if len(declared) <= 3:
        assert line.endswith(" ".join(f"{name} {value:.2g}" for name, value in now.items()))
    else:
        dropped = [now[name] for name in rates]
        assert f"drop {min(dropped):.2g}–{max(dropped):.2g}" in line
    for several in (subject for subject in ({"rotation", "shear"}, {"cutout_length"}) if subject <= now.keys()):
        unit = next(other.unit for other in declared if other.name in several)
        assert unit in ("°", "px")
        ends = sorted({f"{now[name]:.2g}" for name in several})
        assert f" {'–'.join(ends)}{unit}" in line


def test_names_are_cut_only_as_far_as_is_needed_and_a_wide_terminal_has_them_all() -> None:
    kinds = {"width": True, "height": False, "depth": False}
    declared = [Hyperparameter(name, start=0.1, unit="px", discrete=whole) for name, whole in kinds.items()]
    now = {"valid_loss": 1.25, "width": 3.0, "height": 120.4, "depth": 0.01234}
    for columns, line in {
        200: "valid 1.25 width 3px height 120px depth 0.012px",
        73: "valid 1.25 width 3px height 120px depth 0.012px",
        72: "valid 1.25 height… 0.012–120px width 3px",
        66: "valid 1.25 height… 0.012–120px width 3px",
        65: "valid 1.25 heigh… 0.012–120px width 3px",
        63: "valid 1.25 hei… 0.012–120px wid… 3px",
        1: "valid 1.25 he… 0.012–120px wi… 3px",
    }.items():
        assert summary(now, declared, [], columns) == line


def test_a_run_shows_it_with_the_time_left(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tuned = tuner()
    last = run(tuned, progress=True).run()[-1]
    shown = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert shown.startswith("100%|")
    assert shown.endswith(f"<00:00, valid {last['valid_loss']:.4g} mask {last['mask']:.2g} decay {last['decay']:.2g}")
