"""`python -m figures [NAME...]`: run the toy experiments that have no record yet, then draw the paper's figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure
from tqdm import tqdm

from figures import fig01, fig02, fig03, fig04, fig07, fig08, fig09, style, table_toy
from reference.arguments import path, whole_number, writable
from reference.command import Parser, UserError
from reference.updates import METHODS
from toy.cli import MOST_JOBS
from toy.datasets import load
from toy.experiments import EXPERIMENTS
from toy.jobs import Job, pending
from toy.records import Record, find
from toy.runs import execute

SEEDS = range(5)


class Needy(Protocol):
    """What a figure is drawn from: experiments, each with at least these data sets."""

    @property
    def NEEDS(self) -> tuple[str, ...]: ...

    @property
    def DATA(self) -> tuple[str, ...]: ...


class Picture(Needy, Protocol):
    """A figure's module."""

    def draw(self, records: Sequence[Record]) -> Figure: ...


class Table(Needy, Protocol):
    """A table's module."""

    def files(self, records: Sequence[Record]) -> dict[str, bytes]: ...


PICTURES: Mapping[str, Picture] = {
    "fig01": fig01,
    "fig02": fig02,
    "fig03": fig03,
    "fig04": fig04,
    "fig07": fig07,
    "fig08": fig08,
    "fig09": fig09,
}
TABLES: Mapping[str, Table] = {"table": table_toy}
ALL: Mapping[str, Needy] = {**PICTURES, **TABLES}


def missing(names: Sequence[str], root: Path) -> list[Job]:
    """The runs that the figures need and that have no record: five seeds of all four methods."""
    needs = dict.fromkeys(
        (experiment, data) for name in names for experiment in ALL[name].NEEDS for data in ALL[name].DATA
    )
    datasets = {data: load(data) for _, data in needs}
    return [
        job
        for experiment, data in needs
        for job in pending(EXPERIMENTS[experiment], datasets[data], METHODS, SEEDS, root)
    ]


def files(name: str, records: Sequence[Record], kind: str) -> dict[str, bytes]:
    """What a name stands for: files' names and contents."""
    if name in TABLES:
        return TABLES[name].files(records)
    return {f"{name}.{kind}": style.encode(PICTURES[name].draw(records), kind)}


def main() -> int:
    """Run, draw, and say where the pictures are."""
    parser = Parser(prog="python -m figures", description="Draw the paper's figures; run what has no record yet.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ALL)} (default: all)")
    parser.add_argument("--out", type=path, default=Path("out/figures"), metavar="DIR", help="default: out/figures")
    parser.add_argument("--records", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")
    parser.add_argument("--format", choices=style.FORMATS, default="png", help="of the pictures (default: png)")
    parser.add_argument(
        "--jobs", type=whole_number(1, MOST_JOBS), default=-1, metavar="N", help="processes (default: all cores)"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ALL]:
        raise UserError(f"unknown figure {unknown[0]!r}; choose from {', '.join(ALL)}")
    names = list(dict.fromkeys(options.names)) or list(ALL)
    out = writable(options.out)
    if jobs := missing(names, options.records):
        writable(options.records, "--records")
        execute(jobs, options.jobs)
    drawn = draw(names, options.records, out, options.format)
    print(f"drawn from {options.records} into {out}: {', '.join(drawn)}")
    return 0


def draw(names: Sequence[str], root: Path, out: Path, kind: str) -> list[str]:
    """Draw figures one after another; returns the names of the files."""
    needed = dict.fromkeys(experiment for name in names for experiment in ALL[name].NEEDS)
    records = {experiment: list(find(root / experiment)) for experiment in needed}
    drawn = []
    with tqdm(names, unit="figure") as bar:
        for name in bar:
            bar.set_description(f"drawing {name}")
            some = [record for experiment in ALL[name].NEEDS for record in records[experiment]]
            for file, content in files(name, some, kind).items():
                style.write(out / file, content)
                drawn.append(file)
    return drawn
