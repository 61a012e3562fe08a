"""`python -m deep EXPERIMENT`: run the deep experiments of the paper, or a baseline, and write their records."""

import argparse
import os
import shutil
from argparse import ArgumentTypeError, Namespace
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch.distributed as dist

from deep.baselines import GRID, SEARCHES
from deep.board import board
from deep.experiments import EXPERIMENTS, Experiment
from deep.jobs import BY_SLUG, FIXED, Changes, Job, usable
from deep.hyper.parallel import rank
from deep.searches import Search
from deep.sweeps import unlogged, work_off
from reference.arguments import finite, fraction, path, positive, whole_number, writable
from reference.command import Parser, UserError

KNOWN_METHODS = (*BY_SLUG, *SEARCHES, FIXED)

POINTS = {"sigma": [0.25, 0.5, 1.0, 2.0], "intervals": [(1, 1), (2, 1), (5, 1), (10, 1), (5, 5)]}
"""Where `sensitivity` looks unless it is told: scales at the experiment's intervals, then intervals at its scale."""

MOST = 2**31 - 1


def parser() -> Parser:
    """The options of `python -m deep`."""
    runs = "\n".join(
        f"  {one.name:24s}{one.about}\n{'':26s}{', '.join(f'{preset} {time}' for preset, time in one.takes.items())}"
        for one in EXPERIMENTS.values()
    )
    made = Parser(
        prog="python -m deep",
        description="Run a deep experiment of the paper (5.2, 5.3, H.2, H.3, I) and write its record.",
        epilog=f"experiments, and about how long a run of delta-stn takes on two cores without a GPU:\n{runs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("experiment", metavar="EXPERIMENT", help="one of the experiments below")
    add("--method", nargs="+", default=["delta-stn"], metavar="M", help=f"{', '.join(KNOWN_METHODS)}")
    add("--preset", default="cpu", metavar="P", help="paper, cpu (default) or smoke")
    add("--seed", nargs="+", type=whole_number(0, MOST), default=[0], metavar="S", help="default: 0")
    add("--out", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")
    add("--device", default="cpu", metavar="D", help="cpu (default), cuda, cuda:1, ...")
    add("--data-home", type=path, metavar="DIR", help="the folder that holds the data")
    add("--fresh", action="store_true", help="forget what is there (to go on after a kill, leave it out)")
    add("--log", choices=["tensorboard"], help="rows there too, beside the record: an epoch's, a trial's")
    change = made.add_argument_group("changes", "each is another run with a folder of its own").add_argument
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
    fixed = made.add_argument_group("the method `fixed`").add_argument
    fixed("--values", nargs="+", type=_value, default=[], metavar="NAME=VALUE", help="hyperparameters as given")
    fixed("--noise", type=positive, metavar="S", help="perturbed by N(0, S²) all the same")
    fixed("--schedule", type=path, metavar="PATH", help="replayed: a finished run's folder, or a CSV")
    search = made.add_argument_group("searches and many runs").add_argument
    search("--trials", type=whole_number(1, MOST), metavar="N", help="of a search (default: until --seconds)")
    search("--seconds", type=positive, metavar="T", help="wall time of a search")
    search("--storage", metavar="URL", help="of Optuna: any number of workers with one storage share the work")
    return made


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


def jobs(options: Namespace) -> list[Job | Search]:
    """The runs that the options ask for, each once.

    Raises:
        UserError: an unknown experiment, preset or method, or options that do not go together.
    """
    _refuse_unknown("experiment", options.experiment, EXPERIMENTS)
    experiment = EXPERIMENTS[options.experiment]
    _refuse_unknown("preset", options.preset, experiment.presets)
    for method in options.method:
        _refuse_unknown("method", method, KNOWN_METHODS)
    if (options.values or options.noise or options.schedule) and options.method != [FIXED]:
        raise UserError("--values, --noise and --schedule belong to --method fixed")
    if options.method == [FIXED] and not (options.values or options.schedule):
        raise UserError("--method fixed needs --values NAME=VALUE..., or --schedule PATH")
    names = [name for name, _ in options.values]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"--values has {min(twice)!r} more than once; give each name one value")
    asked = [
        _job(options, experiment, method, changes, seed)
        for method in options.method
        for changes in _changes(options, method)
        for seed in options.seed
    ]
    return list({job.folder: job for job in asked}.values())


def _refuse_unknown(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise UserError(f"unknown {what} {name!r}; choose from {', '.join(known)}")


def _changes(options: Namespace, method: str) -> list[Changes]:
    """One for each combination of starts, scales and intervals; a method without a response has none of its own."""
    common = Changes(
        tau=options.tau,
        sigma_end=options.sigma_end,
        theta_rate=options.theta_rate,
        theta_momentum=options.theta_momentum,
        warm_up=options.warm_up,
        epochs=options.epochs,
        rows=options.rows,
        noise=options.noise,
        schedule=None if options.schedule is None else str(options.schedule),
        values=dict(options.values),
    )
    sigmas, intervals = options.sigma or [None], options.intervals or [(None, None)]
    if options.experiment == "sensitivity" and method in BY_SLUG and not (options.sigma or options.intervals):
        scales = [replace(common, sigma=sigma) for sigma in POINTS["sigma"]]
        return scales + [replace(common, T_train=a, T_valid=b) for a, b in POINTS["intervals"]]
    return [
        replace(common, start=start, sigma=sigma, T_train=a, T_valid=b)
        for start, sigma, (a, b) in product(options.start or [None], sigmas, intervals)
    ]


def _job(options: Namespace, experiment: Experiment, method: str, changes: Changes, seed: int) -> Job | Search:
    common = {"seed": seed, "root": options.out, "data_home": options.data_home, "device": options.device}
    if method not in SEARCHES:
        return Job(experiment, options.preset, method, changes=changes, **common)
    if changes.made:
        raise UserError(f"--method {method} takes no changes: it runs the experiment as it stands")
    if method != GRID and options.trials is None and options.seconds is None:
        raise UserError(f"--method {method} needs --trials N or --seconds T")
    ends = {"trials": options.trials, "seconds": options.seconds}
    return Search(experiment, options.preset, method, **ends, storage=options.storage, **common)


@contextmanager
def process_group(options: Namespace) -> Iterator[None]:
    """The process group, where `torchrun` has started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
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
                shutil.rmtree(job.folder, ignore_errors=True)
        new = [job for job in wanted if not job.is_finished()]
        work_off(new, options.storage, board if options.log and rank() == 0 else unlogged)
        if rank() == 0:
            print(f"{len(new)} new runs; records are in {options.out / options.experiment}")
    return 0
