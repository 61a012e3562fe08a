"""`python -m toy` as a person runs it, with all that a person may get wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from reference.console import records
from reference.console.command import InputWarning, run
from reference.rule.updates import METHODS
from toy.console.cli import main
from toy.data.datasets import load, read_csv
from toy.data.split import split
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import digest

ROOT = Path(__file__).parents[3]
ROWS, FEATURES = 30, 3
BAR = re.compile(r"\d+%\|.*run")
"""What tells the lines of a progress bar from others."""


def table(X, t, names=None):
    """A CSV with the target last."""
    names = names or [f"x{j}" for j in range(X.shape[1])]
    rows = [[repr(float(value)) for value in row] for row in np.column_stack([X, t])]
    return "\n".join(",".join(row) for row in [[*names, "y"], *rows]) + "\n"


def values(n=ROWS, m=FEATURES, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, m))
    return X, X @ rng.normal(size=m) + rng.normal(size=n)


def messages(errors):
    """The lines on standard error but for progress bars."""
    lines = errors.replace("\r", "\n").split("\n")
    return [line for line in lines if line.strip() and not BAR.search(line)]


def histories(root):
    return sorted(root.rglob(records.HISTORY))


# In this process.


@pytest.fixture
def toy_in_full(tmp_path, monkeypatch, capsys):
    """Runs `toy ARGUMENTS` in a folder of its own; the status, standard output and messages."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["toy/__main__.py", *arguments])
        with warnings.catch_warnings():
            warnings.simplefilter("always", InputWarning)
            with pytest.raises(SystemExit) as end:
                run(main)
        output, errors = capsys.readouterr()
        return SimpleNamespace(status=end.value.code, output=output, messages=messages(errors))

    return command


@pytest.fixture
def toy(toy_in_full, monkeypatch):
    """The same with schedules cut short."""
    for name, experiment in EXPERIMENTS.items():
        schedule = replace(experiment.schedule, warm_up=5, T_train=2, updates=4, keep_every=2)
        monkeypatch.setitem(EXPERIMENTS, name, replace(experiment, schedule=schedule))
    return toy_in_full


def refused(answer, pattern):
    """Status 2 and exactly one line, which says this."""
    assert answer.status == 2
    assert len(answer.messages) == 1, answer.messages
    assert re.search(pattern, answer.messages[0]), answer.messages[0]
    assert answer.messages[0].startswith("error: ")
    assert answer.output == ""


BAD_ARGUMENTS = [
    ([], r"required: EXPERIMENT \(see: python -m toy --help\)"),
    (["ridges"], "unknown experiment 'ridges'; choose from ridge, .*one-feature, exact, splits, estimators"),
    (["ridge", "--data", "iris"], "no data set is called 'iris'"),
    (["ridge", "--data", ".."], r"no data set is called '\.\.'"),
    (["ridge", "--data", "../toy/data/concrete"], "no data set is called"),
    (["ridge", "--data", ""], "no data set is called ''"),
    (["ridge", "--method", "Δ-STN"], "unknown method 'Δ-STN'; choose from stn, .*delta-stn, delta-stn-cv, .*, all"),
    (["ridge", "--no-such"], "unrecognized arguments: --no-such"),
    (["ridge", "--data"], "--data: expected one argument"),
    *[(["ridge", "--seeds", text], "not a whole number from 1 to 1000") for text in ("0", "-1", "x", "2.5", "", "²")],
    *[(["ridge", "--seeds", text], "not a whole number from 1 to 1000") for text in ("1001", "1" * 5000, "1e3", "+1")],
    *[(["ridge", "--jobs", text], "not a whole number from 1 to 1000") for text in ("0", "-1", "two")],
    *[(["ridge", "--start", text], f"{float(text)} is not strictly between.*penalty") for text in ("-3", "0", "-0.0")],
    *[(["ridge", "--start", text], f"'{text}' is not a finite number") for text in ("nan", "inf", "x", "", "1e400")],
    *[(["dropout", "--start", text], f"{float(text)} is not strictly.*rate") for text in ("0", "1.0", "1.5", "-0.1")],
    *[(["ridge", "--sigma", text], f"'{text}' is not above zero") for text in ("0", "-0.3", "-0.0")],
    *[(["ridge", "--sigma", text], f"'{text}' is not a finite number") for text in ("nan", "inf", "x", "")],
    *[(["ridge", "--alpha1", text], f"'{text}' is not above zero") for text in ("0", "-0.3")],
    (["dropout", "--undivided"], "dropout has no penalty to leave undivided; --undivided is for ridge, linear-network"),
    (["splits", "decoupling"], "unknown experiment 'decoupling'; choose from ridge, dropout, linear-network, "),
    (["nonlinear", "--start", "-1"], "-1.0 is not strictly between.*penalty"),
    (["ridge", "--csv", "none.csv", "--target", "y"], "there is no file none.csv"),
    (["ridge", "--csv", "good.csv"], "--csv FILE and --target COLUMN go together"),
    (["ridge", "--target", "y"], "--csv FILE and --target COLUMN go together"),
    (["ridge", "--csv", "", "--target", "y"], "a path is empty"),
    (["ridge", "--csv", ".", "--target", "y"], r"\. is a folder"),
    (["ridge", "--csv", "good.csv", "--target", "z"], "no column 'z': its columns are x0, x1, x2, y"),
    (["ridge", "--csv", "good.csv", "--target", ""], "no column ''"),
    (["ridge", "--data-home", "none"], "--data-home none is not a folder"),
    (["ridge", "--data-home", "good.csv"], "--data-home good.csv is not a folder"),
    (["ridge", "--data-home", ""], "a path is empty"),
    (["ridge", "--out", ""], "a path is empty"),
    (["ridge", "--out", "good.csv"], "good.csv cannot be made .*choose another --out"),
    (["ridge", "--out", "good.csv/below"], "good.csv/below cannot be made .*choose another --out"),
    (["ridge", "--out", "a" * 300], "cannot be made .File name too long."),
    (["exact"], "required: EXPERIMENT"),
    (["exact", "nonlinear"], "unknown experiment 'nonlinear'; choose from ridge, .*linear-network"),
    *[(["exact", "ridge", "--seed", text], "not a whole number from 0") for text in ("-1", "x", str(2**32))],
    *[(["exact", "ridge", "--lam", text], "not a finite number") for text in ("nan", "inf", "x")],
    (["exact", "ridge", "--lam", "900"], "choose a λ nearer to 0"),
    (["exact", "ridge", "--data", "iris"], "no data set is called 'iris'"),
]


@pytest.mark.parametrize(("arguments", "pattern"), BAD_ARGUMENTS, ids=lambda value: " ".join(value)[:40])
def test_bad_arguments_are_one_line_and_leave_nothing(toy, tmp_path, arguments, pattern):
    (tmp_path / "good.csv").write_text(table(*values()))
    refused(toy(*arguments), pattern)
    assert histories(tmp_path) == []


BAD_TABLES = {
    "empty": ("", "is empty"),
    "only a header": ("x0,y\n", "has 0 rows: give at least 10"),
    "nine rows": (table(*values(n=9)), "has 9 rows: give at least 10"),
    "NaN": (table(*values()).replace("\n", "\nnan,0,0,0\n", 1), "line 2, column 'x0': nan is not a finite number"),
    "inf": (table(*values()) + "0,0,0,-inf\n", "column 'y': -inf is not a finite number"),
    "text": (table(*values()) + "0,low,0,0\n", "column 'x1': 'low' where a number must be"),
    "ragged": (table(*values()) + "0,0,0\n", "line 32: 3 columns where line 1 has 4"),
    "constant target": (table(values()[0], np.ones(ROWS)), "the target is constant"),
    "constant features": (table(np.ones((ROWS, 2)), values()[1]), "every feature is constant"),
    "no feature": (table(np.empty((ROWS, 0)), values()[1]), "no feature column"),
    "semicolons": (table(*values()).replace(",", ";"), "parted by ';'"),
    "not text": ("\udcff\udcfe\x00", "is not text in UTF-8"),
}


@pytest.mark.parametrize("command", [["ridge"], ["exact", "ridge"]], ids=" ".join)
@pytest.mark.parametrize("kind", list(BAD_TABLES))
def test_a_bad_table_is_one_line_and_leaves_nothing(toy, tmp_path, command, kind):
    text, pattern = BAD_TABLES[kind]
    (tmp_path / "bad.csv").write_bytes(text.encode(errors="surrogateescape"))
    refused(toy(*command, "--csv", "bad.csv", "--target", "y"), pattern)
    assert histories(tmp_path) == []


def one_run(toy, path, *arguments, experiment="ridge", target="y"):
    """One short run of one's own data."""
    options = ["--target", target, "--method", "delta-stn", "--seeds", "1", "--jobs", "1", "--out", "out"]
    return toy(experiment, f"--csv={path}", *options, *arguments)


@pytest.mark.parametrize("name", ["a b.csv", "Größe Δ.csv", "-x.csv", ".csv", "..csv", "...csv", "new\nline.csv"])
def test_a_file_of_any_name_is_read_and_its_record_stays_below_out(toy, tmp_path, name):
    (tmp_path / name).write_text(table(*values()))
    answer = one_run(toy, name)
    assert (answer.status, answer.messages) == (0, [])
    assert answer.output == f"1 new runs; records are in {Path('out/ridge')}\n"
    (history,) = histories(tmp_path)
    assert len(history.relative_to(tmp_path / "out" / "ridge").parts) == 5
    assert records.read(history.parent).settings["data"]["rows"] == ROWS


@pytest.mark.parametrize("scale", [1e-140, 1e-9, 1e9, 1e140])
def test_the_scale_of_the_data_does_not_matter(toy, tmp_path, scale):
    X, t = values()
    for name, factor in (("plain", 1.0), ("scaled", scale)):
        (tmp_path / f"{name}.csv").write_text(table(factor * X, t * factor))
        assert one_run(toy, f"{name}.csv").status == 0
    plain, scaled = records.find(tmp_path / "out" / "ridge")
    assert [record.settings["data"]["name"] for record in (plain, scaled)] == ["plain", "scaled"]
    for name in ("lam", "regret", "theta_error"):
        np.testing.assert_allclose(scaled.history[name], plain.history[name], rtol=1e-6, atol=1e-12)


def test_a_constant_feature_is_dropped_with_one_warning_that_names_it(toy, tmp_path):
    X, t = values()
    X[:, 1] = 0.1
    (tmp_path / "constant.csv").write_text(table(X, t, ["age", "weight", "height"]))
    answer = one_run(toy, "constant.csv")
    assert answer.status == 0
    assert answer.messages == ["warning: constant.csv: dropped the constant features weight"]
    assert next(records.find(tmp_path)).settings["data"]["features"] == 2


def test_dependent_features_only_warn(toy, tmp_path):
    X, t = values()
    X[:, 2] = X[:, 0] - 2 * X[:, 1]
    (tmp_path / "dependent.csv").write_text(table(X, t))
    for experiment in ("ridge", "dropout", "linear-network", "one-feature"):
        answer = one_run(toy, "dependent.csv", experiment=experiment)
        assert answer.status == 0
        assert len(answer.messages) == 1
        assert "warning: dependent.csv: the 3 features are exactly dependent (rank 2)" in answer.messages[0]


@pytest.mark.parametrize("value", [0.1, 0.5])
def test_a_feature_constant_over_one_seeds_training_rows_is_for_ridge_and_not_for_dropout(toy, tmp_path, value):
    X, t = values()
    X[:, 1] = value
    X[train_test_split(np.arange(ROWS), test_size=0.2, random_state=0)[1][0], 1] = 1.0
    (tmp_path / "almost.csv").write_text(table(X, t))
    refused(one_run(toy, "almost.csv", experiment="dropout"), "a feature is constant over the training rows of a seed")
    assert histories(tmp_path) == []
    assert one_run(toy, "almost.csv", experiment="ridge").status == 0
    assert len(histories(tmp_path)) == 1


@pytest.mark.parametrize(
    "data",
    [
        values(n=10),
        values(n=11),
        values(m=1),
        values(n=12, m=20),
        tuple(np.repeat(part, 3, axis=0) for part in values(n=10)),
        (values()[0], values()[0] @ [1.0, 2.0, 3.0]),
        (np.round(values()[0]), np.round(values()[1] > 0)),
    ],
    ids=["10 rows", "11 rows", "one feature", "more features than rows", "rows thrice", "no noise", "whole numbers"],
)
def test_unusual_data_are_run(toy, tmp_path, data):
    (tmp_path / "unusual.csv").write_text(table(*data))
    for experiment in EXPERIMENTS:
        assert one_run(toy, "unusual.csv", experiment=experiment).status == 0, experiment
    for record in records.find(tmp_path):
        assert record.facts["outcome"] == "finished"
        assert not any(np.isnan(column).any() for column in record.history.values())


def test_an_unfinished_record_is_run_and_a_damaged_one_is_one_line(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    one_run(toy, "good.csv")
    (history,) = histories(tmp_path)
    history.unlink()
    assert one_run(toy, "good.csv").output.startswith("1 new runs")
    assert one_run(toy, "good.csv").output.startswith("0 new runs")
    (history.parent / records.SETTINGS).write_text("{")
    refused(one_run(toy, "good.csv"), "settings.json cannot be read .*delete the folder and run again")


def test_two_targets_and_two_files_of_one_name_have_records_of_their_own(toy, tmp_path):
    """Run one after another, with --out alike, each keeps its record, and none is trained again."""
    (tmp_path / "sales.csv").write_text(table(*values()))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "sales.csv").write_text(table(*values(seed=1)))
    asked = (("sales.csv", "y"), ("sales.csv", "x0"), ("other/sales.csv", "y"))
    for path, target in asked:
        assert one_run(toy, path, target=target).output.startswith("1 new runs")
    assert len(histories(tmp_path)) == 3
    for path, target in asked:
        assert one_run(toy, path, target=target).output.startswith("0 new runs")


def test_a_finished_record_of_other_settings_is_not_overwritten(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    one_run(toy, "good.csv")
    (history,) = histories(tmp_path)
    path = history.parent / records.SETTINGS
    path.write_text(path.read_text().replace('"updates": 4', '"updates": 5'))
    before = history.read_bytes()
    refused(one_run(toy, "good.csv"), "holds a finished record of other data or settings")
    assert history.read_bytes() == before


def test_data_by_name_and_from_a_file_at_once_are_refused(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    refused(one_run(toy, "good.csv", "--data", "diabetes"), "not allowed with argument")


def test_more_seeds_add_to_what_is_there(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    assert one_run(toy, "good.csv", "--seeds", "2").output.startswith("2 new runs")
    assert one_run(toy, "good.csv", "--seeds", "3").output.startswith("1 new runs")
    assert one_run(toy, "good.csv", "--seeds", "2").output.startswith("0 new runs")
    assert len(histories(tmp_path)) == 3


def test_without_options_every_set_at_hand_and_every_method_is_run(toy, tmp_path):
    assert toy("ridge", "--jobs", "1", "--seeds", "1").status == 0
    actual = {(record.settings["data"]["name"], record.settings["method"]["name"]) for record in records.find(tmp_path)}
    assert actual == {(data, m.name) for data in ("diabetes", "concrete", "abalone") for m in METHODS}
    assert all("out/records/ridge" in str(path) for path in histories(tmp_path))


def test_a_folder_of_files_adds_its_sets(toy, tmp_path):
    X, t = values(n=308, m=6)
    (tmp_path / "yacht.csv").write_text(table(X, t))
    assert toy("one-feature", "--data-home", ".", "--seeds", "1", "--jobs", "1", "--method", "stn").status == 0
    assert "yacht" in {record.settings["data"]["name"] for record in records.find(tmp_path)}


def test_a_method_beyond_the_papers_and_another_sigma(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    assert one_run(toy, "good.csv", "--method", "delta-stn-cv", "--sigma", "0.3").status == 0
    (record,) = records.find(tmp_path / "out")
    assert record.settings["method"]["control_variate"]
    assert record.settings["sigma"] == 0.3
    assert record.folder.parent.name == "start-1-sigma-0.3"


def test_both_readings_of_h_4_and_both_outer_steps_have_folders_of_their_own(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    for options in ((), ("--undivided",), ("--unperturbed-outer",), ("--undivided", "--alpha1", "0.001")):
        answer = one_run(toy, "good.csv", *options, experiment="linear-network")
        assert answer.output.startswith("1 new runs")
    (place,) = (tmp_path / "out" / "linear-network").iterdir()
    assert {str(record.folder.relative_to(tmp_path / "out")) for record in records.find(tmp_path)} == {
        f"linear-network/{place.name}/delta-stn/start-1/seed-0",
        f"linear-network/{place.name}/delta-stn/start-1-unperturbed_outer-True/seed-0",
        f"linear-network-undivided/{place.name}/delta-stn/start-1/seed-0",
        f"linear-network-undivided/{place.name}/delta-stn/start-1-alpha1-0.001/seed-0",
    }


def test_a_start_that_diverges_at_once_is_no_error(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    assert one_run(toy, "good.csv", "--start", "1e300").status == 0
    assert next(records.find(tmp_path)).facts["outcome"] == "diverged by update 0"


def test_a_name_that_is_taken_by_a_file_is_one_line(toy, tmp_path):
    (tmp_path / "good.csv").write_text(table(*values()))
    (tmp_path / "out" / "ridge").mkdir(parents=True)
    place = f"good-{digest(read_csv(tmp_path / 'good.csv', 'y'))[:8]}"
    (tmp_path / "out" / "ridge" / place).touch()
    answer = one_run(toy, "good.csv")
    refused(answer, "Not a directory; free or choose another place and run again")


@pytest.mark.parametrize("arguments", [["--help"], ["exact", "--help"]])
def test_help_names_the_options(toy, arguments):
    answer = toy(*arguments)
    assert answer.status == 0
    assert "--data-home" in answer.output


@pytest.mark.parametrize("name", ["ridge", "dropout", "linear-network", "nonlinear"])
def test_an_experiment_runs_in_full(toy_in_full, no_types_checked, tmp_path, name):
    answer = toy_in_full(*f"{name} --data diabetes --method delta-stn --seeds 1 --jobs 1 --out out".split())
    assert (answer.status, answer.messages) == (0, [])
    assert answer.output == f"1 new runs; records are in out/{name}\n"
    (record,) = records.find(tmp_path)
    assert record.facts["outcome"] == "finished"
    assert record.facts["command"][:5] == ["python", "-m", "toy", name, "--data"]
    schedule = EXPERIMENTS[name].schedule
    assert len(record.history["update"]) == 1 + schedule.updates // schedule.keep_every
    assert (record.history["regret"] >= -1e-12).all()
    assert (record.history["lam"] == record.history["lam"][0]).all() == (schedule.T_valid == 0)


# In processes of their own.


@pytest.fixture
def shell(tmp_path):
    """Starts a command line in a folder of its own; `toy` in it stands for `python -m toy`."""

    def start(line, **environment):
        own = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PYTHON": sys.executable, "PYTHONUNBUFFERED": ""}
        return subprocess.Popen(
            ["bash", "-c", f'toy() {{ "$PYTHON" -m toy "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'],
            cwd=tmp_path,
            env=os.environ | own | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    return start


def ended(process, within=120):
    """Its status, standard output and messages."""
    output, errors = process.communicate(timeout=within)
    return SimpleNamespace(status=process.returncode, output=output, messages=messages(errors))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the names of all files are text")
def test_a_file_whose_name_is_not_text_is_read(shell, tmp_path):
    (tmp_path / "a\udcff.csv").write_text(table(*values()))
    line = "toy one-feature --csv *.csv --target y --method stn --seeds 1 --jobs 1 --out out"
    answer = ended(shell(f"{line} && {line}"))
    assert (answer.status, answer.messages) == (0, [])
    assert [text[:10] for text in answer.output.splitlines()] == ["1 new runs", "0 new runs"]
    assert next(records.find(tmp_path)).settings["data"]["name"] == "a\udcff"


def test_exact_prints_json_that_others_read_and_a_reader_may_leave(shell):
    answer = ended(shell("toy exact ridge --data diabetes --seed 3 --json"))
    assert (answer.status, answer.messages) == (0, [])
    actual = json.loads(answer.output)
    exact = EXPERIMENTS["ridge"].problem(split(load("diabetes"), 3)).optimum()
    assert actual["lam_star"] == exact.lam_star[0]
    answer = ended(shell("toy exact ridge --json | head -1"))
    assert (answer.status, answer.output, answer.messages) == (0, "{\n", [])


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ("toy ridge --data iris", "no data set is called 'iris'"),
        (
            "ulimit -f 2; toy one-feature --data diabetes --method stn --seeds 1 --out out",
            "File too large; free or choose another place",
        ),
    ],
    ids=["name", "disk"],
)
def test_bad_input_is_one_line_in_a_process_of_its_own_too(shell, tmp_path, line, pattern):
    refused(ended(shell(line)), pattern)
    assert histories(tmp_path) == []
    assert list(tmp_path.rglob("*.part")) == []


def test_without_a_network_a_set_from_openml_is_one_line_before_long(shell, tmp_path):
    nowhere = "http://127.0.0.1:9"
    begin = time.monotonic()
    answer = ended(shell("toy ridge --data kin8nm --out out", https_proxy=nowhere, http_proxy=nowhere))
    assert time.monotonic() - begin < 60
    refused(answer, "no network, or OpenML does not give kin8nm .*--data-home DIR with kin8nm.txt.gz or kin8nm.csv")
    assert histories(tmp_path) == []


def test_a_reader_of_messages_may_leave(shell, tmp_path):
    answer = ended(shell("toy one-feature --data diabetes --method stn --seeds 1 --jobs 1 --out out 2>&1 | head -c 1"))
    assert "Traceback" not in answer.output + "".join(answer.messages)
    assert list(tmp_path.rglob("*.part")) == []


def wait_for(condition, words):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail(f"no {words} within a minute")


@pytest.mark.parametrize(
    ("jobs", "finished"), [(1, 1), (2, 0), (2, 1)], ids=["one process", "starting two", "two processes"]
)
def test_ctrl_c_is_one_line_and_keeps_finished_runs(shell, tmp_path, jobs, finished):
    process = shell(f"exec $PYTHON -m toy ridge --data concrete --seeds 1 --jobs {jobs} --out out")
    assert process.stderr is not None
    begun = process.stderr.read(1)  # the progress bar's
    wait_for(lambda: len(histories(tmp_path)) >= finished, "finished run")
    time.sleep(0.0 if finished else 0.3)  # while the others import
    os.killpg(process.pid, signal.SIGINT)
    answer = ended(process)
    assert begun
    assert answer.status == 130
    assert answer.messages == ["interrupted: finished runs are kept, run the same command again for the rest"]
    assert answer.output == ""
    assert list(tmp_path.rglob("*.part")) == []
    kept = list(records.find(tmp_path))
    assert finished <= len(kept) < 4
    for record in kept:
        assert record.facts["outcome"] == "finished"
        assert len(record.history["update"]) == 201


def test_methods_are_named_on_the_command_line_as_in_folders():
    assert [method.slug for method in METHODS] == ["stn", "reparam-stn", "centered-stn", "delta-stn"]
