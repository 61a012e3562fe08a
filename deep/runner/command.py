"""`python -m deep EXPERIMENT`: run the deep experiments of the paper, or a baseline, and write their records."""

import argparse
import os
import shutil
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import torch.distributed as dist

from deep.paper.experiments import EXPERIMENTS
from deep.parallel import rank
from deep.runner.jobs import BY_SLUG, CHANGES, FIXED, Job, usable
from deep.runner.searches import Search
from deep.runner.spaces import GRID, SEARCHES
from deep.runner.sweeps import no_log, run_all
from deep.runner.tensorboard import tensorboard
from reference.arguments import finite, fraction, path, positive, whole_number, writable
from reference.command import Parser, UserError

METHODS = (*BY_SLUG, *SEARCHES, FIXED)

SENSITIVITY: list[dict[str, Any]] = [
    *({"sigma": sigma} for sigma in (0.25, 0.5, 1.0, 2.0)),
    *({"T_train": inner, "T_valid": outer} for inner, outer in ((1, 1), (2, 1), (5, 1), (10, 1), (5, 5))),
]
"""The changes of `sensitivity` by default: scales at the experiment's intervals, then intervals at its scale."""

MOST = 2**31 - 1


def parser() -> Parser:
    """Build the parser of `python -m deep`."""
    experiments = "\n".join(
        f"  {name:24s}{experiment.about}\n{'':26s}{', '.join(map(' '.join, experiment.takes.items()))}"
        for name, experiment in EXPERIMENTS.items()
    )
    result = Parser(
        prog="python -m deep",
        description="Run a deep experiment of the paper (5.2, 5.3, H.2, H.3, I) and write its record.",
        epilog=f"experiments, and about how long a run of delta-stn takes on two cores without a GPU:\n{experiments}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("experiment", metavar="EXPERIMENT", help="one of the experiments below")
    add("--method", nargs="+", default=["delta-stn"], metavar="M", help=", ".join(METHODS))
    add("--preset", default="cpu", metavar="P", help="paper, cpu (default) or smoke")
    add("--seed", nargs="+", type=whole_number(0, MOST), default=[0], metavar="S", help="default: 0")
    add("--out", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")
    add("--device", default="cpu", metavar="D", help="cpu (default), cuda, cuda:1, ...")
    add("--data-home", type=path, metavar="DIR", help="the folder that holds the data")
    add("--fresh", action="store_true", help="forget what is there (to go on after a kill, leave it out)")
    add("--log", choices=["tensorboard"], help="rows there too, beside the record: an epoch's, a trial's")
    change = result.add_argument_group("changes", "each is another run with a folder of its own").add_argument
    change("--start", nargs="+", type=positive, metavar="RATE", help="of the drop rates; several: a run each")
    change("--tau", type=finite, metavar="T", help="weight of the entropy")
    change("--sigma", nargs="+", type=positive, metavar="S", help="perturbation scale; several: a run each")
    change("--sigma-end", type=positive, metavar="S", help="σ goes there by equal factors, unlearned; --sigma's: fixed")
    change("--intervals", nargs="+", type=_intervals, metavar="A:B", help="A inner steps, then B outer ones")
    change("--theta-rate", type=positive, metavar="R", help="Θ's learning rate in units of w0's")
    change("--theta-momentum", type=fraction, metavar="M", help="Θ's own momentum, from 0 to below 1")
    change("--warm-up", type=whole_number(0, MOST), metavar="E", help="epochs before the first outer step")
    change("--epochs", type=whole_number(1, MOST), metavar="E")
    change("--rows", type=whole_number(1, MOST), metavar="N", help="of the training part, validation included")
    fixed = result.add_argument_group("the method `fixed`").add_argument
    fixed("--values", nargs="+", type=_value, default=[], metavar="NAME=VALUE", help="hyperparameters as given")
    fixed("--noise", type=positive, metavar="S", help="perturbed by N(0, S²) all the same")
    fixed("--schedule", type=path, metavar="PATH", help="replayed: a finished run's folder, or a CSV")
    search = result.add_argument_group("searches and many runs").add_argument
    search("--trials", type=whole_number(1, MOST), metavar="N", help="of a search (default: until --seconds)")
    search("--seconds", type=positive, metavar="T", help="wall time of a search")
    search("--storage", metavar="URL", help="of Optuna, for a search's trials (default: a file in the search's folder)")
    return result


def _intervals(text: str) -> tuple[int, int]:
    inner, colon, outer = text.partition(":")
    if not colon:
        raise ArgumentTypeError(f"{text!r} is not A:B, such as 5:1")
    return whole_number(1, MOST)(inner), whole_number(1, MOST)(outer)


def _value(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"{text!r} is not NAME=VALUE, such as drop_1=0.3")
    return name, finite(value)


def jobs(options: Namespace) -> list[Job]:
    """Return the runs that the options ask for, each once.

    Raises:
        UserError: an unknown experiment, preset or method, or options that do not go together.
    """
    _require(options)
    experiment = EXPERIMENTS[options.experiment]
    place = {"root": options.out, "data_home": options.data_home, "device": options.device}
    ends = {"trials": options.trials, "seconds": options.seconds, "storage": options.storage}
    wanted = [
        Search(experiment, options.preset, method, seed, **place, **ends)
        if method in SEARCHES
        else Job(experiment, options.preset, method, seed, changes=changes, **place)
        for method in options.method
        for changes in _changes(options, method)
        for seed in options.seed
    ]
    return list({job.folder: job for job in wanted}.values())


def _require(options: Namespace) -> None:
    presets = EXPERIMENTS[options.experiment].presets if options.experiment in EXPERIMENTS else ()
    choices = [("experiment", options.experiment, EXPERIMENTS), ("preset", options.preset, presets)]
    for name, value, known in [*choices, *(("method", method, METHODS) for method in options.method)]:
        if value not in known:
            raise UserError(f"unknown {name} {value!r}; choose from {', '.join(known)}")
    search = next((method for method in options.method if method in SEARCHES), None)
    unending = next((method for method in options.method if method in SEARCHES and method != GRID), None)
    fixed, of_fixed = options.method == [FIXED], options.values or options.noise or options.schedule
    names = [name for name, _ in options.values]
    twice = next((name for name in names if names.count(name) > 1), None)
    for broken, message in (
        (of_fixed and not fixed, "--values, --noise and --schedule belong to --method fixed"),
        (fixed and not (names or options.schedule), "--method fixed needs --values NAME=VALUE..., or --schedule PATH"),
        (twice, f"--values has {twice!r} more than once; give each name one value"),
        (
            search and any(_changes(options, search)),
            f"--method {search} takes no changes: it runs the experiment as it stands",
        ),
        (
            unending and not (options.trials or options.seconds),
            f"--method {unending} needs --trials N or --seconds T",
        ),
    ):
        if broken:
            raise UserError(message)


def _changes(options: Namespace, method: str) -> list[dict[str, Any]]:
    """List the changes of each run: every combination of starts, scales and intervals."""
    if options.experiment == "sensitivity" and method in BY_SLUG and not (options.sigma or options.intervals):
        several = SENSITIVITY
    else:
        axes = product(options.start or [None], options.sigma or [None], options.intervals or [(None, None)])
        several = [{"start": start, "sigma": sigma, "T_train": a, "T_valid": b} for start, sigma, (a, b) in axes]
    names = ("tau", "sigma_end", "theta_rate", "theta_momentum", "warm_up", "epochs", "rows", "noise", "schedule")
    common = {name: getattr(options, name) for name in names} | {"values": dict(options.values)}
    runs = ({name: (common | changes).get(name) for name in CHANGES} for changes in several)
    return [{name: value for name, value in changes.items() if value not in (None, {})} for changes in runs]


@contextmanager
def process_group(options: Namespace) -> Iterator[None]:
    """Join the process group, where `torchrun` has started several processes.

    Raises:
        UserError: the environment speaks of several processes and lacks what joins them.
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    if size == "1":
        yield
        return
    if lacking := [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]:
        problem = f"WORLD_SIZE is {size!r} in the environment, without {', '.join(lacking)}"
        raise UserError(f"{problem}; start with `torchrun --nproc-per-node N -m deep ...`, or unset WORLD_SIZE")
    if options.device == "cuda":
        options.device = f"cuda:{os.environ['LOCAL_RANK']}"
    usable(options.device)  # or the group fails first, in its own words
    try:
        dist.init_process_group("nccl" if options.device.startswith("cuda") else "gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"the processes of WORLD_SIZE={size} do not meet ({reason}); start with torchrun") from None
    try:
        yield
    finally:
        dist.destroy_process_group()


def main() -> int:
    """Run what is asked for and has no record."""
    options = parser().parse_args()
    with process_group(options):
        wanted = jobs(options)
        writable(options.out)
        if options.fresh:
            for job in wanted:
                shutil.rmtree(job.folder, ignore_errors=True)
        new = [job for job in wanted if not job.is_finished()]
        log = tensorboard if options.log and rank() == 0 else no_log
        run_all(new, log, progress=sys.stderr is not None)  # as it is where standard error was closed
        if rank() == 0:
            print(f"{len(new)} new runs; records are in {options.out / options.experiment}")
    return 0
