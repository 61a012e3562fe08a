"""Table b1, beyond the paper: final regrets with the control variate beside STN and Δ-STN, and verdicts.

The verdicts follow the rule of `figures.reading.verdicts`: "better" is its "as the paper" and "worse" the contrary.
"""

from collections.abc import Iterator, Sequence

from figures.console.pages import comma_separated, markdown
from figures.paper.toy.table_toy import Row, numbers_table, rows
from figures.reading.selection import panels
from figures.reading.variants import CV, CV_SMALL, VARIANTS
from figures.reading.verdicts import Claim, verdict
from reference.console.records import Record
from toy.data.datasets import OFFLINE

NEEDS = ("ridge", "ridge-undivided", "dropout", "linear-network")
DATA = OFFLINE
NAMES = ("STN", "Δ-STN", CV, CV_SMALL)
RUNS = tuple(VARIANTS[name] for name in NAMES)
COMPARED = (
    ("Δ-STN", CV, "the control variate"),
    ("Δ-STN", CV_SMALL, "the control variate and σ = 0.3"),
    (CV, CV_SMALL, "σ = 0.3 instead of 1, both with the control variate"),
)
NOTE = """\
Columns as in toy.md. CV: with the control variate. Θ's step is divided by σ², which changes nothing at σ = 1.
"""


def verdicts(records: Sequence[Record]) -> Iterator[tuple[str, str, str, str]]:
    """Experiment, data set, what is compared, and what came out."""
    for experiment in NEEDS:
        for worse, better, text in COMPARED:
            claim = Claim(experiment, worse, better, "regret", text)
            for data, runs in panels(records, experiment, NAMES).items():
                yield experiment, data, text, verdict(claim, runs, ("better", "worse"))


def verdicts_table(records: Sequence[Record]) -> str:
    """The verdicts in Markdown."""
    return markdown(("experiment", "data", "what is judged", "here"), verdicts(records))


def files(records: Sequence[Record]) -> dict[str, bytes]:
    """tableb1.md and tableb1.csv."""
    page = f"{numbers_table(records, NEEDS, NAMES)}\n{verdicts_table(records)}\n{NOTE}"
    return {"tableb1.md": page.encode(), "tableb1.csv": comma_separated(Row, rows(records, NEEDS, NAMES))}
