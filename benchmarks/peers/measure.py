"""Hold one library to the yardstick, in the environment that has it: `python -m benchmarks.peers.measure torchopt`.

Its rows in results.json are replaced by what is measured; table.py makes README's table of the file.
"""

import importlib
import json
import sys
import warnings
from datetime import date
from importlib.metadata import version
from pathlib import Path

from reference.beyond.yardstick import measure
from reference.console.command import Parser, UserError, run

RESULTS = Path(__file__).with_name("results.json")
PACKAGES = {
    "torchopt": ("torchopt", "torch"),
    "jaxopt": ("jaxopt", "jax"),
    "optimistix": ("optimistix", "jax"),
    "betty": ("betty-ml", "torch"),
    "higher": ("higher", "torch"),
    "hypergrad": ("hypergrad", "torch"),
    "boat": ("boat-torch", "torch"),
}


def rows(library: str) -> list[dict[str, object]]:
    """One for each setting of a library."""
    package, beneath = PACKAGES[library]
    settings = importlib.import_module(f"benchmarks.peers.{library}_peer").SETTINGS
    measured = []
    for setting, function in settings.items():
        report = measure(function)
        print(f"{library}, {setting}\n{report.text()}\n")
        about = {"library": package, "version": version(package), "on": f"{beneath} {version(beneath)}"}
        measured.append({**about, "setting": setting, "date": date.today().isoformat(), **report.as_object()})
    return measured


def main() -> int:
    """Measure, print and write."""
    parser = Parser(prog="python -m benchmarks.peers.measure", description="Hold one library to the yardstick.")
    parser.add_argument("library", help=", ".join(PACKAGES))
    library = parser.parse_args().library
    if library not in PACKAGES:
        raise UserError(f"unknown library {library!r}; choose from {', '.join(PACKAGES)}")
    warnings.simplefilter("ignore")  # deprecations of libraries that are no longer released
    measured = rows(library)
    others = (
        [row for row in json.loads(RESULTS.read_text()) if row["library"] != PACKAGES[library][0]]
        if RESULTS.exists()
        else []
    )
    ordered = sorted(
        others + measured, key=lambda row: [package for package, _ in PACKAGES.values()].index(row["library"])
    )
    RESULTS.write_text(json.dumps(ordered, ensure_ascii=False, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
