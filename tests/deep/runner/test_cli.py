"""`python -m deep` as a person meets it: what it runs, and how it refuses."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deep.paper import problems
from deep.paper.experiments import EXPERIMENTS
from deep.paper.problems import Size
from deep.runner import cli as command
from deep.runner.jobs import Job
from deep.tuner.tuner import Tuner
from figures.reading.archive import COMMITTED
from reference.beyond.control_variate.updates import DELTA_STN_CV_NORMALISED
from reference.console import records
from reference.console.command import UserError, run
from reference.rule.updates import METHODS
from tests.deep.small import killed_at

pytestmark = pytest.mark.usefixtures("no_types_checked")

ROOT = Path(__file__).parents[3]
PATIENCE = 300
"""Seconds for a process that imports PyTorch, on a machine that is busy."""
TINY = Size(epochs=1, warm_up=0, data="digits", rows=200, test_rows=50, width=0.02)


def call(monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    """`python -m deep TEXT` in this process."""
    monkeypatch.setattr(sys, "argv", ["deep/__main__.py", *text.split()])
    return command.main()


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Every experiment's smoke preset at the least size that runs; the working folder is an empty one."""
    text = Size(epochs=1, warm_up=0, data="persuasion", rows=400, test_rows=160, width=0.01, batch=4, stream=10)
    for name, experiment in EXPERIMENTS.items():
        presets = {**experiment.presets, "smoke": (text if name == "ptb-lstm" else TINY, "no time")}
        monkeypatch.setitem(EXPERIMENTS, name, replace(experiment, presets=presets))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


HYPERPARAMETERS = {
    "mnist-mlp": 3,
    "fmnist-cnn": 6,
    "cifar-alexnet": 18,
    "cifar-vgg16": 26,
    "cifar-resnet18": 19,
    "ptb-lstm": 7,
    "mnist-dropout-schedule": 1,
    "sensitivity": 6,
}
"""H.2 and H.3; I.1's input rate alone."""


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_runs_with_every_method_and_is_recorded(tiny: pytest.MonkeyPatch, name: str) -> None:
    """With as many hyperparameters as the paper's."""
    extra = " --sigma 1" if name == "sensitivity" else ""
    methods = [method.slug for method in (*METHODS, DELTA_STN_CV_NORMALISED)]
    assert call(tiny, f"{name} --preset smoke --method {' '.join(methods)}{extra}") == 0
    written = list(records.find(Path("out/records") / name))
    assert sorted(record.settings["method"] for record in written) == sorted(methods)
    for record in written:
        assert record.history["epoch"].tolist() == [0.0, 1.0]
        assert record.facts["command"][:4] == ["python", "-m", "deep", name]
        assert len(record.facts["hyperparameters"]) == HYPERPARAMETERS[name]
        for column in ("valid_loss", "test_loss", *record.facts["hyperparameters"]):
            assert len(record.history[column]) == 2
            assert (record.history[column] > -1e-9).all()


def test_a_finished_run_is_not_run_again_unless_fresh(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    history = Path("out/records/mnist-mlp/smoke/stn/seed-3/history.csv")
    answers, changed = [], []
    for extra in ("", "", " --fresh"):
        call(tiny, f"mnist-mlp --preset smoke --method stn --seed 3{extra}")
        answers.append(capsys.readouterr().out.split()[0])
        changed.append(history.stat().st_mtime_ns)
    assert answers == ["1", "0", "1"]
    assert changed[0] == changed[1] < changed[2]


def test_what_is_asked_for_twice_is_one_run(tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(tiny, "mnist-mlp --preset smoke --method stn stn --start 0.1 0.10 --seed 0 0") == 0
    assert capsys.readouterr().out.split()[0] == "1"
    assert len(list(records.find(Path("out")))) == 1


def test_several_starts_scales_intervals_and_seeds_are_a_run_each(tiny: pytest.MonkeyPatch) -> None:
    call(tiny, "mnist-mlp --preset smoke --start 0.1 0.3 --sigma 0.5 --intervals 2:1 1:2 --seed 0 1")
    changes = [(record.settings["changes"], record.settings["seed"]) for record in records.find(Path("out"))]
    assert len(changes) == 8
    for start in (0.1, 0.3):
        for T_train, T_valid in ((2, 1), (1, 2)):
            for seed in (0, 1):
                assert ({"start": start, "sigma": 0.5, "T_train": T_train, "T_valid": T_valid}, seed) in changes
    for record in records.find(Path("out")):
        assert record.history["drop_input"][0] == pytest.approx(record.settings["changes"]["start"])
        assert record.history["sigma drop_input"][0] == pytest.approx(0.5)
        steps = record.settings["changes"]
        assert record.history["outer_steps"][-1] == 2 // steps["T_train"] * steps["T_valid"]


def test_thetas_own_step_moves_theta_alone_in_the_first_step(tiny: pytest.MonkeyPatch) -> None:
    """A step of Θ moves λ alone, and that only later: rates differ where Θ has learned, w0's first epoch does not."""
    changes = ("", " --theta-rate 10", " --theta-momentum 0", " --theta-rate 10 --theta-momentum 0")
    changes += (" --theta-adam 0.001", " --theta-per-loss 9")
    for change in changes:
        call(tiny, f"mnist-mlp --preset smoke --epochs 2 --warm-up 1 --intervals 1:1{change}")
    histories = [record.history for record in records.find(Path("out"))]
    assert len(histories) == len(changes)
    assert len({history["valid_loss"][1] for history in histories}) == 1
    assert len({history["drop_1"][2] for history in histories}) == len(changes)


def test_an_experiment_takes_as_many_rows_as_it_is_told(tiny: pytest.MonkeyPatch) -> None:
    for rows in (129, 300):
        call(tiny, f"mnist-mlp --preset smoke --rows {rows}")
    steps = {record.settings["size"]["rows"]: record.history["inner_steps"][-1] for record in records.find(Path("out"))}
    assert steps == {129: 1, 300: 2}  # 110 and 255 rows after validation, in batches of 128


def test_a_scale_falls_in_equal_ratios_or_is_held_and_is_not_learned(tiny: pytest.MonkeyPatch) -> None:
    """An epoch's row has the σ that the epoch had; the end is reached after the last."""
    for sigma, end in ((1, 0.125), (0.5, 0.5), (1, None)):
        change = f"--sigma {sigma} --sigma-end {end}" if end else f"--sigma {sigma}"
        call(tiny, f"mnist-mlp --preset smoke --method delta-stn-cv-normalised --epochs 3 {change}")
    histories = {record.settings["changes"].get("sigma_end"): record.history for record in records.find(Path("out"))}
    for name in ("drop_input", "drop_1", "drop_2"):
        assert histories[0.125][f"sigma {name}"] == pytest.approx([1, 1, 0.5, 0.25])
        assert histories[0.5][f"sigma {name}"] == pytest.approx([0.5] * 4)
        assert histories[None][f"sigma {name}"][-1] != pytest.approx(1.0, abs=1e-4)


def test_sensitivity_looks_at_scales_and_at_intervals_unless_told(tiny: pytest.MonkeyPatch) -> None:
    call(tiny, "sensitivity --preset smoke")
    changes = [record.settings["changes"] for record in records.find(Path("out"))]
    assert sorted(changes, key=repr) == sorted(command.SENSITIVITY, key=repr)


def test_a_schedule_is_replayed_and_values_are_held(tiny: pytest.MonkeyPatch) -> None:
    call(tiny, "mnist-mlp --preset smoke --epochs 3 --intervals 1:1")
    tuned = next(records.find(Path("out")))
    call(tiny, f"mnist-mlp --preset smoke --epochs 3 --method fixed --schedule {tuned.folder} --out again")
    replayed = next(records.find(Path("again")))
    for name in tuned.facts["hyperparameters"]:
        assert replayed.history[name] == pytest.approx(tuned.history[name], rel=1e-5)
    call(tiny, "mnist-mlp --preset smoke --epochs 2 --method fixed --values drop_input=0.5 drop_1=0 --out held")
    held = next(records.find(Path("held")))
    assert held.history["drop_input"] == pytest.approx([0.5] * 3)
    assert held.history["drop_1"] == pytest.approx([0.0] * 3, abs=1e-5)


def test_schedules_of_one_name_are_a_run_each_also_after_a_kill(tiny: pytest.MonkeyPatch) -> None:
    for folder, rate in (("x", 0.2), ("y", 0.6)):
        Path(folder).mkdir()
        Path(folder, "s.csv").write_text(f"epoch,drop_input,drop_1,drop_2\n0,{rate},{rate},{rate}\n")
    text = "mnist-mlp --preset smoke --method fixed --schedule"
    with killed_at(1, Tuner, "inner_step_over"):
        call(tiny, f"{text} x/s.csv --epochs 2")
    assert len(list(Path("out").rglob("checkpoint.pt"))) == 1
    for folder, rate in (("y", 0.6), ("x", 0.2)):
        call(tiny, f"{text} {folder}/s.csv --epochs 2")
        (record,) = (
            record for record in records.find(Path("out")) if record.history["drop_1"][0] == pytest.approx(rate)
        )
        assert record.history["drop_1"] == pytest.approx([rate] * 3)
        assert record.folder.parent.name == record.settings["changes"]["schedule"].replace("s-", "schedule-s-")


def test_a_schedule_is_known_by_its_content_wherever_it_lies(
    tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call(tiny, "mnist-mlp --preset smoke --method stn delta-stn --intervals 1:1 --out tuned")
    first, second = (record.folder for record in records.find(Path("tuned")))
    shutil.copytree(first, "elsewhere/seed-0")
    capsys.readouterr()
    answers = []
    for folder in (first, second, Path("elsewhere/seed-0")):
        call(tiny, f"mnist-mlp --preset smoke --method fixed --schedule {folder}")
        answers.append(capsys.readouterr().out.split()[0])
    assert answers == ["1", "1", "0"]


def text_in(folder: str, words: str) -> str:
    """The folder, with a text of its own in three parts."""
    Path(folder).mkdir()
    for part in ("train", "valid", "test"):
        Path(folder, f"{part}.txt").write_text(f"{words}\n" * 300)
    return folder


def test_a_run_on_another_text_is_not_taken_for_this_one(tiny: pytest.MonkeyPatch) -> None:
    texts = [text_in("one", "a b a c"), text_in("two", "a b c a")]
    command = "ptb-lstm --preset smoke --data-home"
    with killed_at(1, Tuner, "inner_step_over"):
        call(tiny, f"{command} {texts[0]}")
    with pytest.raises(UserError, match="the checkpoint is of another run: its data differ"):
        call(tiny, f"{command} {texts[1]}")
    call(tiny, f"{command} {texts[0]}")
    call(tiny, f"{command} {texts[0]}")
    for other in (f"{command} {texts[1]}", "ptb-lstm --preset smoke"):
        with pytest.raises(UserError, match="finished record of a run with other settings"):
            call(tiny, other)
    (record,) = records.find(Path("out"))
    assert len(record.settings["data"]) == 8


@pytest.mark.parametrize(("name", "method"), [("ptb-lstm", "stn"), ("mnist-mlp", "delta-stn")])
def test_a_published_set_is_known_by_its_name(name: str, method: str) -> None:
    """And so are the novel and the records in the repository."""
    home = None if name == "ptb-lstm" else Path("anywhere")
    assert Job(EXPERIMENTS[name], "cpu", method, 0, COMMITTED, data_home=home).is_finished()


def test_rows_reach_tensorboard(tiny: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    call(tiny, "mnist-mlp --preset smoke --log tensorboard")
    (record,) = records.find(Path("out"))
    events = accumulator.EventAccumulator(str(record.folder / "tensorboard"))
    events.Reload()
    for name in ("valid_loss", "drop_input"):
        assert [event.value for event in events.Scalars(name)] == pytest.approx(record.history[name], rel=1e-6)


def test_trials_reach_tensorboard_each_in_a_folder_of_its_own(tiny: pytest.MonkeyPatch) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    call(tiny, "mnist-mlp --preset smoke --method random-search --trials 3 --log tensorboard")
    (record,) = records.find(Path("out"))
    folders = sorted((record.folder / "tensorboard").iterdir())
    assert [folder.name for folder in folders] == ["trial-0000", "trial-0001", "trial-0002"]
    for k, folder in enumerate(folders):
        events = accumulator.EventAccumulator(str(folder))
        events.Reload()
        of_trial = record.history["trial"] == k
        for name in ("valid_loss", "drop_input"):
            assert [event.value for event in events.Scalars(name)] == pytest.approx(
                record.history[name][of_trial], rel=1e-6
            )
            assert [event.step for event in events.Scalars(name)] == [0, 1]


FULL_DISK = """
import resource, sys, tempfile
from sklearn.datasets import load_digits
from torch.utils.tensorboard import SummaryWriter
from deep.runner.cli import main
from reference.console.command import run
tempfile.gettempdir()  # looked for by writing
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file may have a byte
sys.argv = ["deep/__main__.py", "mnist-mlp", "--preset", "smoke", "--log", "tensorboard"]
run(main)
"""


def test_a_full_disk_is_one_line_though_rows_go_to_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command_line = [sys.executable, "-c", FULL_DISK]
    end = subprocess.run(command_line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    lines = [line for line in end.stderr.splitlines() if line and "%|" not in line]
    assert (end.returncode, lines) == (2, ["error: File too large; free or choose another place and run again"])


REFUSALS = {
    "no-such": "argument EXPERIMENT: invalid choice: 'no-such' (choose from 'mnist-mlp'",
    "mnist-mlp --method sgd": "argument --method: invalid choice: 'sgd' (choose from 'stn'",
    "mnist-mlp --preset huge": "argument --preset: invalid choice: 'huge' (choose from 'paper'",
    "mnist-mlp --preset smoke --start 0.95": "its start 0.95 is not strictly between 0.0 and 0.95",
    "mnist-mlp --preset smoke --start 0": "argument --start: '0' is not above zero",
    "mnist-mlp --preset smoke --sigma -1": "argument --sigma: '-1' is not above zero",
    "mnist-mlp --preset smoke --theta-momentum 1": "'1' is not from 0 to below 1",
    "mnist-mlp --preset smoke --rows 1501": "the training part has 1500 rows, not 1501",
    "ptb-lstm --preset smoke --rows 100000": "the training text has",
    "mnist-mlp --preset smoke --tau nan": "'nan' is not a finite number",
    "mnist-mlp --preset smoke --intervals 5": "argument --intervals: '5' is not A:B",
    "mnist-mlp --preset smoke --intervals 5:x": "argument --intervals: 'x' is not a whole number",
    "mnist-mlp --preset smoke --seed -1": "argument --seed: '-1' is not a whole number",
    "mnist-mlp --preset smoke --method fixed --values drop_1": "argument --values: 'drop_1' is not NAME=VALUE",
    "mnist-mlp --preset smoke --method fixed --values =1": "argument --values: '=1' is not NAME=VALUE",
    "mnist-mlp --preset smoke --method fixed --values drop_1=": "argument --values: '' is not a finite number",
    "mnist-mlp --preset smoke --method fixed --values drop_1=0.2 drop_1=0.3": "--values has 'drop_1' more than once",
    "mnist-mlp --preset smoke --device cuda:99": "device 'cuda:99' cannot be used",
    "mnist-mlp --preset smoke --device toaster": "device 'toaster' cannot be used",
    "mnist-mlp --preset smoke --device meta": "device 'meta' cannot be used",
    "mnist-mlp --preset smoke --device vulkan": "device 'vulkan' cannot be used (Could not run",
    "mnist-mlp --preset smoke --method fixed": "--method fixed needs --values",
    "mnist-mlp --method fixed --values drop_1=0.5 --theta-adam 1": "--method fixed has no Θ; leave out --theta-adam",
    "mnist-mlp --theta-adam 0.1 --theta-momentum 0": "--theta-adam is Θ's whole step",
    "mnist-mlp --preset smoke --values drop_1=0.5": "belong to --method fixed",
    "mnist-mlp --preset smoke --method fixed --values nothing=0.5": "no hyperparameter is named 'nothing'",
    "mnist-mlp --preset smoke --method fixed --values drop_1=2": "2.0 is not between 0.0 and 0.95",
    "mnist-mlp --preset smoke --method fixed --schedule nowhere.csv": "nowhere.csv holds no schedule",
    "mnist-mlp --preset smoke --method random-search": "--method random-search needs --trials N or --seconds T",
    "mnist-mlp --preset smoke --method random-search --trials 1 --tau 1": "takes no changes",
    "mnist-mlp --preset smoke --out /dev/null/x": "/dev/null/x cannot be made",
    "mnist-mlp --preset cpu --data-home .": "MNIST is not here: get it by",
    "cifar-vgg16 --preset paper --data-home .": "CIFAR-10 is not here: get it by",
    "ptb-lstm --preset paper": "the Penn Treebank is the LDC's, not shipped",
}


@pytest.mark.parametrize(("text", "message"), REFUSALS.items())
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    tiny: pytest.MonkeyPatch, text: str, message: str
) -> None:
    with pytest.raises(UserError) as caught:
        call(tiny, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not [path for path in Path().rglob("*") if path.is_file() and ".locks" not in path.parts]


def start(text: str, folder: Path) -> "subprocess.Popen[str]":
    """`python -m deep TEXT` as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "deep", *text.split()]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_ctrl_c_is_one_line_and_status_130_and_the_same_command_goes_on(tmp_path: Path) -> None:
    text = "mnist-mlp --preset smoke --method stn --epochs 400"
    process, folder = start(text, tmp_path), tmp_path / "out/records/mnist-mlp/smoke/stn/epochs-400/seed-0"
    until = time.monotonic() + PATIENCE
    while not (folder / "checkpoint.pt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in errors
    assert not (folder / "history.csv").exists()
    assert (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_ctrl_c_while_torch_is_imported_is_one_line(tmp_path: Path, seconds: float) -> None:
    """A module that takes its time stands in for it."""
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    command, pipe = [sys.executable, "-m", "deep", "mnist-mlp"], subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors.count("\n")) == (130, 1)


def test_a_device_that_is_not_there_is_refused_before_the_processes_meet(tiny: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "98", "TORCHELASTIC_RUN_ID": "none"}.items():
        tiny.setenv(name, value)
    with pytest.raises(UserError, match="device 'cuda:98' cannot be used"):
        call(tiny, "mnist-mlp --preset smoke --device cuda")


@pytest.mark.parametrize("size", ["2", "two", "0"])
def test_several_processes_that_torchrun_has_not_started_are_refused_in_one_line(
    tiny: pytest.MonkeyPatch, size: str
) -> None:
    tiny.setenv("WORLD_SIZE", size)
    with pytest.raises(UserError, match=f"WORLD_SIZE is '{size}' .* torchrun .*, or unset WORLD_SIZE$"):
        call(tiny, "mnist-mlp --preset smoke")
    assert not list(Path().iterdir())


@pytest.mark.parametrize("size", ["", "1"])
def test_an_environment_of_one_process_is_none(tiny: pytest.MonkeyPatch, size: str) -> None:
    tiny.setenv("WORLD_SIZE", size)
    assert call(tiny, "mnist-mlp --preset smoke") == 0


def test_with_standard_error_closed_runs_and_a_search_have_no_bar_and_go_on(tmp_path: Path) -> None:
    text = f"{sys.executable} -m deep mnist-mlp --preset smoke --method stn random-search --trials 1 2>&-"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    end = subprocess.run(text, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (end.returncode, end.stderr) == (0, "")
    assert "2 new runs; records are in out/records/mnist-mlp" in end.stdout
    assert len(list(tmp_path.rglob("history.csv"))) == 2


def test_sensitivity_has_points_of_its_own_for_what_they_change_alone(tiny: pytest.MonkeyPatch) -> None:
    assert call(tiny, "sensitivity --preset smoke --method random-search --trials 1") == 0
    assert call(tiny, "sensitivity --preset smoke --method fixed --values drop_input=0.1") == 0
    assert len(list(records.find(Path("out/records")))) == 2


def test_a_set_is_loaded_once_for_all_runs_of_a_command(tiny: pytest.MonkeyPatch) -> None:
    problems._load.cache_clear()
    assert call(tiny, "mnist-mlp --preset smoke --method stn random-search --trials 2 --seed 0 1") == 0
    assert problems._load.cache_info().misses == 1


def test_without_torch_the_command_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    ends = []
    for program in (["-m", "deep", "mnist-mlp"], ["-c", "import deep; hasattr(deep, 'no'); from deep import Tuner"]):
        done = subprocess.run([sys.executable, *program], cwd=tmp_path, env=environment, capture_output=True, text=True)
        ends.append((done.returncode, done.stderr.splitlines()))
    needed = "deep/ needs PyTorch: pip install -e '.[deep]'"
    assert ends[0] == (2, [f"error: {needed}"])
    assert ends[1][0] == 1
    assert ends[1][1][-1] == f"ImportError: {needed}"


def test_a_refusal_has_status_2(tiny: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run(lambda: call(tiny, "mnist-mlp --preset cpu --data-home ."))
    errors = capsys.readouterr().err
    assert end.value.code == 2
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: MNIST is not here")


def test_help_is_quick_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    helped = start("--help", tmp_path)
    text, imported = helped.communicate(timeout=PATIENCE)
    assert helped.returncode == 0
    assert "torch" in imported
    assert "sklearn" not in imported
    for name, experiment in EXPERIMENTS.items():
        assert name in text
        assert all(time in " ".join(text.split()) for _, time in experiment.presets.values())


def test_fresh_does_not_follow_a_link(tiny: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the link leads to is somebody's, and stays; nothing is run in its place."""
    call(tiny, "mnist-mlp --preset smoke")
    (record,) = records.find(Path("out"))
    record.folder.rename(tmp_path / "elsewhere")
    record.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link, and --fresh removes folders alone"):
        call(tiny, "mnist-mlp --preset smoke --fresh")
    assert records.read(tmp_path / "elsewhere").history["epoch"].size
