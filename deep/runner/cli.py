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

from deep.hyper.parallel import rank
from deep.paper.experiments import EXPERIMENTS
from deep.runner.jobs import BY_SLUG, CHANGES, FIXED, Job, usable
from deep.runner.searches import Search
from deep.runner.spaces import GRID, SEARCHES
from deep.runner.sweeps import no_log, run_all
from deep.runner.tensorboard import tensorboard
from reference.console.argument_types import finite, fraction, path, positive, whole_number, writable
from reference.console.command import Parser, UserError

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
        f"  {name:24s}{experiment.about}\n{'':26s}{experiment.times}" for name, experiment in EXPERIMENTS.items()
    )
    result = Parser(
        prog="python -m deep",
        description="Run a deep experiment of the paper (5.2, 5.3, H.2, H.3, I) and write its record.",
        epilog=f"experiments, and about how long a run of delta-stn takes on two cores without a GPU:\n{experiments}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("experiment", choices=EXPERIMENTS, metavar="EXPERIMENT", help="one of the experiments below")
    add("--method", nargs="+", choices=METHODS, default=["delta-stn"], metavar="M", help=", ".join(METHODS))
    add("--preset", choices=["paper", "cpu", "smoke"], default="cpu", metavar="P", help="paper, cpu (default) or smoke")
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
    change("--theta-adam", type=positive, metavar="LR", help="Θ's optimiser is Adam at this rate")
    change("--theta-per-loss", type=positive, metavar="MOST", help="Θ's rate over the training loss, at most MOST-fold")
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
        UserError: options that do not go together.
    """
    for broken, message in _conflicts(options):
        if broken:
            raise UserError(message)
    place = {"root": options.out, "data_home": options.data_home, "device": options.device}
    ends = {"trials": options.trials, "seconds": options.seconds, "storage": options.storage}
    wanted = [
        Search(EXPERIMENTS[options.experiment], options.preset, method, seed, **place, **ends)
        if method in SEARCHES
        else Job(EXPERIMENTS[options.experiment], options.preset, method, seed, changes=changes, **place)
        for method in options.method
        for changes in _changes(options, method)
        for seed in options.seed
    ]
    return list({job.folder: job for job in wanted}.values())


def _conflicts(options: Namespace) -> Iterator[tuple[object, str]]:
    """Yield what must not hold of the options, and what to say where it does."""
    fixed, names = options.method == [FIXED], [name for name, _ in options.values]
    of_fixed = options.values or options.noise or options.schedule
    yield of_fixed and not fixed, "--values, --noise and --schedule belong to --method fixed"
    yield fixed and not of_fixed, "--method fixed needs --values NAME=VALUE..., or --schedule PATH"
    for name in names:
        yield names.count(name) > 1, f"--values has {name!r} more than once; give each name one value"
    theta = [name for name in CHANGES if name.startswith("theta") and getattr(options, name) is not None]
    yield fixed and theta, "--method fixed has no Θ; leave out " + ", ".join(f"--{n.replace('_', '-')}" for n in theta)
    yield (
        options.theta_adam and (options.theta_rate or options.theta_momentum is not None),
        ("--theta-adam is Θ's whole step; leave out --theta-rate and --theta-momentum"),
    )
    for method in set(options.method) & set(SEARCHES):
        changed, ended = any(_changes(options, method)), method == GRID or options.trials or options.seconds
        yield changed, f"--method {method} takes no changes: it runs the experiment as it stands"
        yield not ended, f"--method {method} needs --trials N or --seconds T"


def _changes(options: Namespace, method: str) -> list[dict[str, Any]]:
    """List the changes of each run: every combination of starts, scales and intervals."""
    if options.experiment == "sensitivity" and method in BY_SLUG and not (options.sigma or options.intervals):
        several = SENSITIVITY
    else:
        axes = product(options.start or [None], options.sigma or [None], options.intervals or [(None, None)])
        several = [{"start": start, "sigma": sigma, "T_train": a, "T_valid": b} for start, sigma, (a, b) in axes]
    common = {**vars(options), "start": None, "sigma": None, "values": dict(options.values)}
    runs = ({name: (common | changes).get(name) for name in CHANGES} for changes in several)
    return [{name: value for name, value in changes.items() if value not in (None, {})} for changes in runs]


@contextmanager
def process_group(options: Namespace) -> Iterator[None]:
    """Join the process group, where `torchrun` has started several processes.

    Raises:
        UserError: the environment speaks of several processes that `torchrun` has not started.
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    if size == "1":
        yield
        return
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        problem = f"WORLD_SIZE is {size!r} in the environment, and torchrun has not started this process"
        raise UserError(f"{problem}; start with `torchrun --nproc-per-node N -m deep ...`, or unset WORLD_SIZE")
    if options.device == "cuda":
        options.device = f"cuda:{os.environ['LOCAL_RANK']}"
    usable(options.device)  # or the group fails first, in its own words
    dist.init_process_group("nccl" if options.device.startswith("cuda") else "gloo")
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
                if job.folder.is_symlink():
                    raise UserError(f"{job.folder} is a link, and --fresh removes folders alone; remove it by hand")
                shutil.rmtree(job.folder, ignore_errors=True)
        new = [job for job in wanted if not job.is_finished()]
        log = tensorboard if options.log and rank() == 0 else no_log
        run_all(new, log, progress=sys.stderr is not None)  # as it is where standard error was closed
        if rank() == 0:
            print(f"{len(new)} new runs; records are in {options.out / options.experiment}")
    return 0
