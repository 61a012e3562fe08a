"""`python -m toy EXPERIMENT`: run toy experiments and write records; `exact`, `splits`, `estimators`, `logistic`."""

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np

from reference.beyond.control_variate.updates import BEYOND
from reference.console.argument_types import finite, path, positive, whole_number, writable
from reference.console.command import Parser, UserError
from reference.rule.updates import METHODS, Method
from toy.beyond import laboratory
from toy.beyond.logistic import labels
from toy.beyond.logistic import runs as logistic_runs
from toy.beyond.logistic.jobs import SIGMA, TUNED
from toy.beyond.logistic.jobs import jobs as logistic_jobs
from toy.beyond.logistic.table import table
from toy.console import processes
from toy.data.datasets import Dataset, available, load, read_csv
from toy.data.split import split
from toy.paper import splits
from toy.paper.exact import exact_facts
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import pending, unfinished
from toy.paper.runs import execute

EXACT = ("ridge", "ridge-undivided", "dropout", "linear-network", "linear-network-undivided")
UNDIVIDED = "-undivided"
"""Ends the names of experiments whose penalty is not divided by n."""

MOST_SEEDS, MOST_JOBS = 1000, 1000
MOST_SEED = 2**32 - 1
"""scikit-learn's greatest random_state."""


def data_options(parser: Parser, default: str) -> None:
    """The options that say where data come from."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--data", default=default, metavar="NAME", help=f"a data set by name (default: {default})")
    where.add_argument("--csv", type=path, metavar="FILE", help="your own data, a CSV with a header line")
    parser.add_argument("--target", metavar="COLUMN", help="the column of --csv to predict")
    parser.add_argument(
        "--data-home", type=path, metavar="DIR", help="a folder of UCI files, NAME.csv[.gz] or .txt[.gz]"
    )


def common_options(parser: Parser) -> None:
    """The options of whatever writes records."""
    parser.add_argument(
        "--jobs", type=whole_number(1, MOST_JOBS), default=-1, metavar="N", help="processes (default: all cores)"
    )
    parser.add_argument("--out", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")


def datasets(options: Namespace) -> list[Dataset]:
    """The data sets that the options ask for.

    Raises:
        UserError: --csv without --target or the other way round, or what `load` and `read_csv` raise.
    """
    if options.data_home is not None and not options.data_home.is_dir():
        raise UserError(f"--data-home {options.data_home} is not a folder; give the folder that holds the files")
    if (options.csv is None) != (options.target is None):
        raise UserError("--csv FILE and --target COLUMN go together; give both")
    if options.csv is not None:
        return [read_csv(options.csv, options.target)]
    names = available(options.data_home) if options.data == "all" else [options.data]
    return [load(name, options.data_home) for name in names]


def methods(name: str) -> tuple[Method, ...]:
    """The method of that name, or the paper's four."""
    known = {method.slug: method for method in METHODS + BEYOND}
    if name != "all" and name not in known:
        raise UserError(f"unknown method {name!r}; choose from {', '.join(known)}, all")
    return METHODS if name == "all" else (known[name],)


def run_main(arguments: list[str]) -> int:
    """`python -m toy EXPERIMENT ...`."""
    parser = Parser(
        prog="python -m toy",
        description="Run a toy experiment of the paper (5.1, H.1); see also: exact, splits, estimators, logistic.",
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    data_options(parser, "all")
    parser.add_argument(
        "--method",
        default="all",
        metavar="NAME",
        help="stn, reparam-stn, centered-stn, delta-stn, all (these four); beyond the paper: "
        + ", ".join(method.slug for method in BEYOND),
    )
    parser.add_argument(
        "--seeds", type=whole_number(1, MOST_SEEDS), default=5, metavar="N", help="seeds 0 to N-1 (default: 5)"
    )
    parser.add_argument("--start", type=finite, metavar="VALUE", help="another penalty or drop rate to start from")
    parser.add_argument("--sigma", type=positive, metavar="S", help="another perturbation scale than the experiment's")
    parser.add_argument("--alpha1", type=positive, metavar="A", help="another learning rate of w0 and Θ")
    parser.add_argument(
        "--undivided",
        action="store_true",
        help="ridge: the penalty not divided by n (figure 8); linear-network: likewise, ‖∂y/∂X‖² of all n rows (H.4)",
    )
    parser.add_argument(
        "--unperturbed-outer", action="store_true", help="λ's step at ε = 0, as in the authors' code where σ is fixed"
    )
    common_options(parser)
    options = parser.parse_args(arguments)
    experiment = EXPERIMENTS.get(options.experiment)
    if experiment is not None and options.undivided:
        experiment = EXPERIMENTS.get(experiment.name.removesuffix(UNDIVIDED) + UNDIVIDED)
        if experiment is None:
            both = ", ".join(name for name in EXPERIMENTS if name + UNDIVIDED in EXPERIMENTS)
            raise UserError(f"{options.experiment} has no penalty to leave undivided; --undivided is for {both}")
    if experiment is None:
        raise UserError(
            f"unknown experiment {options.experiment!r}; choose from {', '.join([*EXPERIMENTS, *COMMANDS])}"
        )
    chosen, out, seeds = methods(options.method), writable(options.out), range(options.seeds)
    schedule = replace(experiment.schedule, unperturbed_outer=options.unperturbed_outer)
    if options.alpha1 is not None:
        schedule = replace(schedule, alpha1=options.alpha1)
    changes = (seeds, out, options.start, options.sigma, schedule)
    jobs = [job for data in datasets(options) for job in pending(experiment, data, chosen, *changes)]
    execute(jobs, options.jobs)
    print(f"{sum(len(job.seeds) for job in jobs)} new runs; records are in {out / experiment.name}")
    return 0


def estimators_main(arguments: list[str]) -> int:
    """`python -m toy estimators ...`."""
    known = ", ".join(laboratory.SMALL)
    parser = Parser(
        prog="python -m toy estimators", description="Every estimator of a hypergradient, its error and its price."
    )
    parser.add_argument("--regime", default="all", metavar="NAME", help=f"{known}, all (default: all)")
    parser.add_argument("--full", action="store_true", help="up to 2000 weights and 1000 hyperparameters: minutes")
    parser.add_argument(
        "--seeds", type=whole_number(1, MOST_SEEDS), default=3, metavar="N", help="seeds 0 to N-1 (default: 3)"
    )
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.regime not in (*laboratory.SMALL, "all"):
        raise UserError(f"unknown regime {options.regime!r}; choose from {known}, all")
    out, size = writable(options.out), "full" if options.full else "small"
    names = list(laboratory.SMALL) if options.regime == "all" else [options.regime]
    jobs = list(laboratory.pending(size, names, range(options.seeds), out))
    processes.execute(jobs, laboratory.run, options.jobs)
    print(f"{len(jobs)} new runs; records are in {out / laboratory.EXPERIMENT / size}")
    return 0


def splits_main(arguments: list[str]) -> int:
    """`python -m toy splits ...`."""
    known = ", ".join(splits.CHANGES)
    parser = Parser(
        prog="python -m toy splits",
        description=f"Each method on {len(splits.SEEDS)} splits: λ's step at a drawn ε and at ε = 0, and figure 4's "
        "steps α_1. A quarter of an hour of one core.",
    )
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=f"{known} (default: all)")
    common_options(parser)
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.experiments if name not in splits.CHANGES]:
        raise UserError(f"unknown experiment {unknown[0]!r}; choose from {known}")
    out = writable(options.out)
    jobs = splits.pending(dict.fromkeys(options.experiments) or splits.CHANGES, out)
    processes.execute(jobs, splits.run, options.jobs)
    print(f"{len(jobs)} new records; they are in {out / splits.EXPERIMENT}")
    return 0


def logistic_main(arguments: list[str]) -> int:
    """`python -m toy logistic ...`: run what is missing, and print the table of all that was asked for."""
    parser = Parser(
        prog="python -m toy logistic",
        description="Softmax regression tuned by STNs, beside its exact best response; beyond the paper.",
    )
    sets, tuned = ", ".join(labels.SOURCES), ", ".join(TUNED)
    parser.add_argument(
        "--data", nargs="+", default=list(labels.SOURCES), metavar="NAME", help=f"of {sets} (default: all)"
    )
    parser.add_argument("--tune", default="decay", metavar="WHAT", help=f"{tuned} (default: decay)")
    parser.add_argument("--method", nargs="+", default=["all"], metavar="NAME", help="as for the other experiments")
    parser.add_argument("--sigma", type=positive, default=SIGMA, metavar="S", help=f"default: {SIGMA:g}")
    parser.add_argument(
        "--seeds", type=whole_number(1, MOST_SEEDS), default=3, metavar="N", help="seeds 0 to N-1 (default: 3)"
    )
    common_options(parser)
    options = parser.parse_args(arguments)
    if options.tune not in TUNED:
        raise UserError(f"unknown --tune {options.tune!r}; choose from {tuned}")
    data = [labels.load(name) for name in options.data]
    chosen = [method for name in options.method for method in methods(name)]
    out, seeds = writable(options.out), range(options.seeds)
    asked = logistic_jobs(data, options.tune, chosen, seeds, options.sigma, out)
    processes.execute(list(unfinished(asked)), logistic_runs.run, options.jobs)
    print(table(asked))
    return 0


def exact_main(arguments: list[str]) -> int:
    """`python -m toy exact EXPERIMENT ...`."""
    parser = Parser(prog="python -m toy exact", description="The exact answer for a data set and split.")
    parser.add_argument("experiment", metavar="EXPERIMENT", help=", ".join(EXACT))
    data_options(parser, "diabetes")
    parser.add_argument(
        "--seed", type=whole_number(0, MOST_SEED), default=0, metavar="S", help="of the split (default: 0)"
    )
    parser.add_argument("--lam", type=finite, metavar="L", help="unconstrained λ (default: the experiment's start)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(arguments)
    if options.experiment not in EXACT:
        raise UserError(f"unknown experiment {options.experiment!r}; choose from {', '.join(EXACT)}")
    answers = [exact_answer(data, options) for data in datasets(options)]
    if options.json:
        print(json.dumps(answers[0] if len(answers) == 1 else answers, indent=2, allow_nan=False))
        return 0
    for answer in answers:
        print("\n".join(f"{name:>22}  {value}" for name, value in answer.items()), end="\n\n")
    return 0


def exact_answer(data: Dataset, options: Namespace) -> dict[str, object]:
    """λ*, and the validation loss and hypergradient at λ, for one data set.

    Raises:
        UserError: no exact answer can be given at this λ.
    """
    experiment = EXPERIMENTS[options.experiment]
    problem = experiment.problem(split(data, options.seed))
    lam = experiment.s.inverse(experiment.start(len(data.X))) if options.lam is None else options.lam
    try:
        with np.errstate(over="ignore"):
            loss, gradient = problem.outer_loss(np.array([lam])), problem.hypergradient(np.array([lam]))
        optimum = problem.optimum()
    except ValueError as error:
        raise UserError(f"no exact answer at λ = {lam} ({error}); choose a λ nearer to 0") from None
    return {
        "experiment": experiment.name,
        "data": data.name,
        "seed": options.seed,
        **exact_facts(optimum, experiment),
        "lam": lam,
        "validation_loss": float(loss),
        "hypergradient": float(gradient[0]),
    }


COMMANDS = {"exact": exact_main, "splits": splits_main, "estimators": estimators_main, "logistic": logistic_main}


def main() -> int:
    """Dispatch to one of the other commands or to an experiment."""
    name, *arguments = sys.argv[1:] or [""]
    return COMMANDS[name](arguments) if name in COMMANDS else run_main(sys.argv[1:])
