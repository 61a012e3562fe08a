"""`python -m benchmarks.alternatives [TASK...]`: run everything and write one record for each task."""

import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.alternatives.measure import KEPT, ROUNDS, judged, run
from benchmarks.alternatives.tasks import TASKS, Task
from reference.console.argument_types import path, whole_number, writable
from reference.console.command import Parser, UserError
from reference.console.command import run as run_command
from reference.console.records import Writer, provenance

EXPERIMENT = "alternatives"


def main() -> int:
    """Run the tasks one after another."""
    parser = Parser(prog="python -m benchmarks.alternatives", description="What a user would pick instead.")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"{', '.join(TASKS)} (default: all)")
    parser.add_argument(
        "--seeds", type=whole_number(1, 100), default=5, metavar="N", help="splits 0 to N-1 (default: 5)"
    )
    parser.add_argument("--quick", action="store_true", help="a fraction of the work, to see that all of it runs")
    parser.add_argument("--out", type=path, default=Path("out/records"), metavar="DIR", help="default: out/records")
    options = parser.parse_args()
    if unknown := [name for name in options.tasks if name not in TASKS]:
        raise UserError(f"unknown task {unknown[0]!r}; choose from {', '.join(TASKS)}")
    out = writable(options.out) / EXPERIMENT
    for name in dict.fromkeys(options.tasks) or TASKS:
        task = TASKS[name].quick() if options.quick else TASKS[name]
        # One thread: how many there are is a property of the machine too. λ far out overflows, and is worth no word.
        with threadpool_limits(1), np.errstate(all="ignore"):
            record(task, range(options.seeds), out / name)
        print(f"the record is in {out / name}")
    return 0


def record(task: Task, seeds: range, folder: Path) -> None:
    """Run a task and write its record."""
    rows = list(judged(task, run(task, seeds)))
    with Writer(folder, settings(task, seeds)) as writer:
        writer.facts |= provenance("numpy", "scipy", "scikit-learn", "optuna", "torch")
        writer.facts["command"] = ["python", "-m", "benchmarks.alternatives", *sys.argv[1:]]
        for row in rows:
            writer.row(row)


def settings(task: Task, seeds: range) -> dict[str, object]:
    """What the record's numbers depend on, times aside."""
    known = {key: value for key, value in vars(task).items() if key not in ("problem", "lam0", "schedule")}
    measured = {"seeds": len(seeds), "rounds": ROUNDS, "points": KEPT}
    start = {"h": task.h, "lam0": task.lam0.tolist()}
    return {"experiment": EXPERIMENT, **known, **start, "schedule": asdict(task.schedule), **measured}


if __name__ == "__main__":
    run_command(main)
