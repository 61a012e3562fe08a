"""`python -m figures [NAME...]`: draw the paper's figures and tables, and those beyond it.

Toy experiments that have no record yet are run first. Deep ones, many splits, the laboratory and benchmarks take
longer: their records are committed, a fresh one below --records counts for more, and where there is none the figure is
left out, or refused if it was asked for.
"""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from figures.console.contents import ALL, RECORDED, files
from figures.drawing import style
from figures.reading import archive
from figures.reading.archive import gather, is_committed
from reference.console.argument_types import path, whole_number, writable
from reference.console.command import Parser, UserError
from reference.console.records import Record
from toy.beyond import structure
from toy.console import processes
from toy.console.cli import MOST_JOBS
from toy.data.datasets import load
from toy.paper.experiments import EXPERIMENTS
from toy.paper.jobs import Job, pending
from toy.paper.runs import execute

SEEDS = range(5)


def missing(names: Sequence[str], root: Path) -> list[Job]:
    """The toy runs that the figures need and that have no record: five seeds of four methods, or of a figure's own."""
    needs = dict.fromkeys(
        (experiment, data, variant)
        for name in names
        for experiment in ALL[name].needs
        if experiment in EXPERIMENTS
        for data in ALL[name].data
        for variant in ALL[name].variants
    )
    datasets = {name: load(name) for name in {data for _, data, _ in needs}}
    return [
        job
        for experiment, data, run in needs
        for job in pending(EXPERIMENTS[experiment], datasets[data], [run.method], SEEDS, root, sigma=run.sigma)
    ]


def gathered(names: Sequence[str], root: Path) -> dict[str, list[Record]]:
    """Name -> the records of its experiments."""
    needed = dict.fromkeys(experiment for name in names for experiment in ALL[name].needs)
    records = {experiment: gather(experiment, root) for experiment in needed}
    return {name: [record for experiment in ALL[name].needs for record in records[experiment]] for name in names}


def arguments() -> Namespace:
    """The options, refused where they name no figure."""
    parser = Parser(prog="python -m figures", description="Draw the paper's figures; run toy experiments as needed.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ALL)} (default: all with records)")
    parser.add_argument("--out", type=path, default=Path("out/figures"), metavar="DIR", help="default: out/figures")
    parser.add_argument("--records", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")
    parser.add_argument("--format", choices=style.FORMATS, default="png", help="of the pictures (default: png)")
    parser.add_argument(
        "--jobs", type=whole_number(1, MOST_JOBS), default=-1, metavar="N", help="processes (default: all cores)"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ALL]:
        raise UserError(f"unknown figure {unknown[0]!r}; choose from {', '.join(ALL)}")
    return options


def main() -> int:
    """Run, draw, and say where the pictures are and which could not be drawn."""
    options = arguments()
    names = list(dict.fromkeys(options.names)) or list(ALL)
    recorded = [name for name in names if name in RECORDED]
    shown = {name: ALL[name].shown(records) for name, records in gathered(recorded, options.records).items()}
    lacking = [name for name in shown if not shown[name]]
    if lacking and options.names:
        raise UserError(f"{lacking[0]} has no records; make them: {ALL[lacking[0]].make}")
    out = writable(options.out)
    if jobs := missing(names, options.records):
        writable(options.records, "--records")
        execute(jobs, options.jobs)
    if measurements := [job for name in names for job in ALL[name].pending(options.records)]:
        writable(options.records, "--records")
        processes.execute(measurements, structure.run, options.jobs)
    records = gathered([name for name in names if name not in RECORDED], options.records) | shown
    drawn = draw({name: records[name] for name in names if name not in lacking}, out, options.format, options.jobs)
    committed = [file for name, pages in drawn.items() if any(map(is_committed, records[name])) for file in pages]
    fresh = [file for pages in drawn.values() for file in pages if file not in committed]
    for where, pictures in ((options.records, fresh), (f"committed records in {archive.COMMITTED}", committed)):
        if pictures:
            print(f"drawn from {where} into {out}: {', '.join(pictures)}")
    for name in lacking:
        print(f"{name} left out: it has no records; make them: {ALL[name].make}")
    return 0


def draw(records: Mapping[str, Sequence[Record]], out: Path, kind: str, jobs: int) -> dict[str, list[str]]:
    """Draw figures side by side; returns the names of each one's files."""
    drawn = {}
    work = partial(_content, kind=kind)
    with processes.completed(work, list(records.items()), jobs, unit="figure", doing="drawing") as contents:
        for name, content in contents:
            for file, data in content.items():
                style.write(out / file, data)
            drawn[name] = list(content)
            contents.set_description(f"drawn: {name}")
    return {name: drawn[name] for name in records}


def _content(figure: tuple[str, Sequence[Record]], kind: str) -> tuple[str, dict[str, bytes]]:
    """A figure's name, and its files."""
    name, records = figure
    return name, files(name, records, kind)
