import os
import subprocess
import sys

import matplotlib as mpl
import pytest

import figures.console.cli
from figures.beyond.toy import figb3
from figures.console.contents import ALL, RECORDED
from figures.drawing import style
from reference.console.command import UserError
from tests.figures.conftest import on_diabetes
from tests.figures.made_deep import write
from toy.beyond import structure

DEEP = [name for name in RECORDED if "python -m deep " in ALL[name].make]
MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def python_m_figures(*arguments, cwd):
    """The command as a person types it."""
    command = [sys.executable, "-m", "figures", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def repository(request):
    return request.config.rootpath


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_as_a_person_runs_it_and_once_more(tmp_path, repository, command, capsys):
    arguments = ("fig01", "--jobs", "1", "--out", tmp_path / "pictures", "--records", tmp_path / "records")
    first = python_m_figures(*arguments, cwd=repository)
    assert first.returncode == 0, first.stderr
    assert str(tmp_path / "pictures") in first.stdout
    assert "fig01.png" in first.stdout
    assert "one-feature, diabetes" in first.stderr
    pictures = contents(tmp_path / "pictures")
    assert pictures.keys() == {"fig01.png"}
    runs = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "records").rglob("*"))
    assert len([path for path, _ in runs if path.name == "history.csv"]) == 4 * 5

    assert command(*arguments) == 0
    assert "one-feature" not in capsys.readouterr().err
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "records").rglob("*")) == runs
    assert contents(tmp_path / "pictures") == pictures


def test_an_unknown_figure_is_refused_and_nothing_is_written(tmp_path, command):
    with pytest.raises(UserError) as refused:
        command("fig01", "fig17", "--out", tmp_path / "pictures", "--records", tmp_path / "records")
    assert str(refused.value) == f"unknown figure 'fig17'; choose from {', '.join(ALL)}"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [("--format", "gif"), ("--jobs", "0"), ("--jobs", "two"), ("--out", ""), ("--draw",)]
)
def test_bad_options_are_refused(arguments, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        command("fig01", *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(command, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another --out"):
        command("--out", tmp_path / "file" / "pictures", "--records", tmp_path / "records")
    assert not (tmp_path / "records").exists()


def test_a_folder_for_records_that_cannot_be_written_is_refused(short, command, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another --records"):
        command("fig01", "--out", tmp_path / "pictures", "--records", tmp_path / "file" / "records")


@pytest.fixture
def diabetes(root, monkeypatch):
    """Every figure content with the records that there are: two seeds, one data set."""
    monkeypatch.setattr(figures.console.cli, "SEEDS", range(2))
    on_diabetes(monkeypatch)
    monkeypatch.setattr(figb3, "DATA", ("diabetes",))
    monkeypatch.setattr(structure, "STEPS", 5)
    monkeypatch.setattr(structure, "GROUPS", {10: (1, 5)})
    return root


def test_all_of_them(diabetes, command, tmp_path, capsys):
    before = dict(mpl.rcParams)
    assert command("--out", tmp_path, "--records", diabetes) == 0
    tables = ("toy", "tableb1", "tableb2")
    pictures = [f"{name}.png" for name in ALL if name not in RECORDED and name.startswith("fig")]
    names = [*pictures, *(f"{name}.{kind}" for name in tables for kind in ("md", "csv"))]
    assert contents(tmp_path).keys() == set(names)
    first, *others = capsys.readouterr().out.splitlines()
    assert first == f"drawn from {diabetes} into {tmp_path}: {', '.join(names)}"
    assert others == [f"{name} left out: it has no records; make them: {ALL[name].make}" for name in RECORDED]
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("kind", style.FORMATS)
def test_formats_and_equal_bytes_for_equal_records(kind, diabetes, command, tmp_path):
    for folder in ("a", "b"):
        assert command("fig07", "--format", kind, "--out", tmp_path / folder, "--records", diabetes) == 0
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first == second
    assert first[f"fig07.{kind}"].startswith(MAGIC[kind])


def test_a_name_given_twice_is_drawn_once(diabetes, command, tmp_path, capsys):
    assert command("table", "table", "--out", tmp_path, "--records", diabetes) == 0
    assert capsys.readouterr().out.count("toy.md") == 1


def test_only_what_is_missing_is_run(diabetes, command, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(figures.console.cli, "execute", lambda jobs, processes: ran.append((len(jobs), processes)))
    command("fig07", "--out", tmp_path, "--records", diabetes)
    assert ran == []
    monkeypatch.setattr(figures.console.cli, "SEEDS", range(3))
    monkeypatch.setattr(figures.console.cli, "draw", lambda records, out, kind, processes: ran.append(processes) or {})
    command("fig03", "fig07", "--out", tmp_path, "--records", diabetes, "--jobs", "3")
    # Two experiments, four methods, in one call.
    assert ran == [(8, 3), 3]
    command("figb2", "--out", tmp_path, "--records", diabetes, "--jobs", "3")
    # Of the same two experiments STN, Δ-STN and two that are not the paper's.
    assert ran[2:] == [(8, 3), 3]


def test_without_names_everything_is_needed(short, tmp_path):
    jobs = figures.console.cli.missing(list(ALL), tmp_path)
    # The paper's four methods; the control variate at two σ in four experiments; figure b1's two methods at four σ.
    assert len(jobs) == 4 * (5 * 3 + 2) + 2 * (4 * 3) + 2 * (2 * 4)
    assert {job.dataset.name for job in jobs if job.experiment.name in ("nonlinear", "one-feature")} == {"diabetes"}
    assert {job.seeds for job in jobs} == {(0, 1, 2, 3, 4)}


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "fig.png"
    style.write(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(style.os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        style.write(path, b"new")
    assert contents(tmp_path) == {"fig.png": b"old"}


def everything(folder):
    """A record of Δ-STN of each deep experiment, which is enough to draw every deep figure; returns their names."""
    names = ("drop_input", "hue", "rotation", "cutout_holes", "cutout_length")
    for experiment in {experiment for name in DEEP for experiment in ALL[name].needs}:
        accuracies = {"valid_accuracy": [0.1, 0.2], "test_accuracy": [0.1, 0.2]}
        write(folder, experiment, "delta-stn", [2.0, 1.0], hyper=dict.fromkeys(names, 0.2), columns=accuracies)
    return [
        *(f"{name}.png" for name in DEEP if name.startswith("fig")),
        *(f"{name}.{kind}" for name in DEEP if name.startswith("table") for kind in ("md", "csv")),
    ]


def test_deep_figures_are_drawn_from_records_alone(tmp_path, command, capsys):
    names = everything(tmp_path / "records")
    assert command(*DEEP, "--records", tmp_path / "records", "--out", tmp_path / "pictures") == 0
    assert contents(tmp_path / "pictures").keys() == set(names)
    assert capsys.readouterr().out == (
        f"drawn from {tmp_path / 'records'} into {tmp_path / 'pictures'}: {', '.join(names)}\n"
    )


def test_committed_records_are_drawn_and_said_to_be(tmp_path, committed, command, capsys):
    everything(committed)
    folders = ("--records", tmp_path / "records", "--out", tmp_path / "pictures")
    assert command("fig13", "fig10", *folders) == 0
    said = f"drawn from committed records in {committed} into {tmp_path / 'pictures'}: fig13.png, fig10.png\n"
    assert capsys.readouterr().out == said
    assert not (tmp_path / "records").exists()
    before = contents(tmp_path / "pictures")
    write(tmp_path / "records", "ptb-lstm", "delta-stn", [2.0, 1.0], hyper={"drop_input": [0.1, 0.9], "ar": 1.0})
    assert command("fig13", "fig10", *folders) == 0
    after = contents(tmp_path / "pictures")
    assert after["fig13.png"] != before["fig13.png"]
    assert after["fig10.png"] == before["fig10.png"]
    assert capsys.readouterr().out.splitlines() == [
        f"drawn from {tmp_path / 'records'} into {tmp_path / 'pictures'}: fig13.png",
        f"drawn from committed records in {committed} into {tmp_path / 'pictures'}: fig10.png",
    ]


@pytest.mark.parametrize("name", DEEP)
def test_a_deep_figure_asked_for_without_records_is_refused_before_anything_runs(name, tmp_path, command):
    folders = ("--records", tmp_path / "records", "--out", tmp_path / "pictures")
    with pytest.raises(UserError) as refused:
        command("fig01", name, *folders)
    assert str(refused.value) == f"{name} has no records; make them: {ALL[name].make}"
    assert "\n" not in ALL[name].make
    assert not list(tmp_path.iterdir())


def test_records_of_other_runs_are_no_records_of_a_figure(tmp_path, command):
    write(tmp_path, "mnist-mlp", "fixed", [1.0], values={"drop_input": 0.5})
    write(tmp_path, "mnist-mlp", "delta-stn", [1.0], tau=1.0)
    for name in ("fig05", "fig10", "table01"):
        with pytest.raises(UserError, match=f"{name} has no records"):
            command(name, "--records", tmp_path, "--out", tmp_path / "pictures")


def test_figures_do_without_torch(repository):
    code = "import sys; import figures.console.cli; print([name for name in ('torch', 'deep') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_neither_a_notebooks_backend_nor_a_persons_matplotlibrc_has_a_say(repository, tmp_path):
    """Fonts, sizes and colours of the environment change no byte; a backend that is not installed is not looked for."""
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\naxes.facecolor: red\n")
    changes = {"MPLBACKEND": "module://not_installed", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    pictures = []
    for name, more in (("usual", {}), ("changed", changes)):
        command = [sys.executable, "-m", "figures", "figb5", "--out", str(tmp_path / name), "--jobs", "1"]
        subprocess.run(command, cwd=repository, env=os.environ | more, capture_output=True, check=True)
        pictures.append((tmp_path / name / "figb5.png").read_bytes())
    assert pictures[0] == pictures[1]
