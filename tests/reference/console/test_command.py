"""Every command ends with the right status, and in one line of what a person can put right."""

import contextlib
import errno
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference.console.command import InputWarning, Parser, UserError, run

ROOT = Path(__file__).parents[3]
full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full, a disk that is always full")


@pytest.fixture(autouse=True)
def warnings_are_shown_as_before(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def raising(error):
    """A `main` that raises."""

    def main():
        raise error

    return main


def status_of(main):
    """The exit status of `run(main)`."""
    with pytest.raises(SystemExit) as end:
        run(main)
    return end.value.code


def as_command(body, redirection="", **environment):
    """Status, standard output and standard error of `run` on a `main` with this body, in a shell."""
    program = f"from reference.console.command import *\ndef main():\n    {body}\n    return 0\nrun(main)"
    done = subprocess.run(
        ["bash", "-c", f'"$0" -c "$1" {redirection}; exit ${{PIPESTATUS[0]}}', sys.executable, program],
        capture_output=True,
        encoding="utf-8",
        # Unbuffered, output fails at once and not as the command ends.
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""} | environment,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("status", [0, 1])
def test_the_status_is_what_main_returns(status, capsys):
    assert status_of(lambda: status) == status
    assert capsys.readouterr() == ("", "")


@given(st.text(max_size=60))
def test_bad_input_is_status_2_and_one_line_whatever_the_text(text):
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        assert status_of(raising(UserError(text))) == 2
    assert stderr.getvalue().startswith("error:")
    assert len(stderr.getvalue().splitlines()) == 1


def test_a_failing_disk_names_the_file_the_reason_and_what_to_do(capsys):
    assert status_of(raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b.csv"))) == 2
    assert capsys.readouterr().err == (
        "error: a/b.csv: No space left on device; free or choose another place and run again\n"
    )


def test_an_error_without_a_reason_still_says_something(capsys):
    assert status_of(raising(OSError("cannot seek"))) == 2
    assert capsys.readouterr().err.startswith("error: cannot seek; ")


def test_no_memory_is_one_line(capsys):
    assert status_of(raising(MemoryError())) == 2
    assert capsys.readouterr().err == "error: memory ran out; ask for less at a time and run again\n"


def test_ctrl_c_is_status_130_and_one_line(capsys):
    assert status_of(raising(KeyboardInterrupt())) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_the_parser_refuses_in_one_line_that_points_to_its_help():
    with pytest.raises(UserError, match=r"--no-such.*\(see: python -m some --help\)"):
        Parser(prog="python -m some").parse_args(["--no-such"])


def test_help_is_status_0(capsys):
    assert status_of(lambda: Parser(prog="some", description="Explains.").parse_args(["--help"]) and 1) == 0
    assert "Explains." in capsys.readouterr().out


def test_a_warning_about_input_is_one_line_without_code(capsys):
    def main():
        with warnings.catch_warnings(action="always"):
            warnings.warn("dropped\nx  y", InputWarning, stacklevel=1)
        return 0

    assert status_of(main) == 0
    assert capsys.readouterr().err == "warning: dropped x y\n"


def test_other_warnings_look_as_python_shows_them(capsys):
    def main():
        with warnings.catch_warnings(action="always"):
            warnings.warn("odd", RuntimeWarning, stacklevel=1)
        return 0

    assert status_of(main) == 0
    assert "test_command.py" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error():
    status, output, errors = as_command("[print(i) for i in range(10**5)]", "| head -1")
    assert (status, output, errors) == (0, "0\n", "")


@full_disk
def test_help_to_a_full_disk_is_one_line_and_status_2():
    status, _, errors = as_command("Parser().parse_args(['--help'])", ">/dev/full")
    assert (status, len(errors.splitlines())) == (2, 1)


def test_help_for_a_reader_that_has_left_is_no_error():
    status, _, errors = as_command("Parser(description='x').parse_args(['--help'])", "| exec true")
    assert (status, errors) == (0, "")


@full_disk
def test_output_to_a_full_disk_is_one_line_and_status_2():
    status, _, errors = as_command("print(1)", ">/dev/full")
    assert status == 2
    assert errors == "error: No space left on device; free or choose another place and run again\n"


def test_without_any_standard_output_the_status_is_still_right():
    assert as_command("print(1)", ">&-") == (0, "", "")


@full_disk
def test_a_full_disk_below_standard_error_leaves_the_status():
    assert as_command("raise UserError('x')", "2>/dev/full")[0] == 2


def test_a_terminal_without_greek_shows_escapes():
    assert as_command(r"print('\u03bb \udcff')", PYTHONIOENCODING="ascii") == (0, "\\u03bb \\udcff\n", "")


@pytest.mark.parametrize("package", ["reference", "toy", "figures"])
def test_ctrl_c_while_a_command_is_still_importing_is_one_line_and_status_130(package, tmp_path):
    """NumPy's place is taken by a module that is interrupted as it is imported."""
    (tmp_path / "numpy.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    done = subprocess.run(
        [sys.executable, "-m", package],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (130, "", 1)
    assert done.stderr.startswith("interrupted")
