"""Where records are: fresh ones below --records, and those of runs that cost hours, committed in figures/records.

Both trees are the same, EXPERIMENT/PRESET/METHOD[/CHANGES]/seed-S; of a run that is in both the fresh record counts.
"""

from pathlib import Path

from reference.console.records import Record, find

COMMITTED = Path(__file__).parents[1] / "records"


def gather(experiment: str, root: Path) -> list[Record]:
    """The experiment's records."""
    by_folder = {
        record.folder.relative_to(top): record for top in (COMMITTED, root) for record in find(top / experiment)
    }
    return list(by_folder.values())


def is_committed(record: Record) -> bool:
    """Whether a record is one of the repository's own."""
    return record.folder.resolve().is_relative_to(COMMITTED.resolve())
