"""The table of final excesses: for each data set, what is tuned and method the median and range over seeds.

name      meaning
excess    L_V(r(λ)) - L_V(r(λ*)) at the last kept step, in thousandths of a nat; before it, at the start
cosine    of the learned to the exact hypergradient, its mean over the kept steps, median over seeds
"""

from collections.abc import Iterable, Sequence

import numpy as np

from reference.console.records import Record, read
from toy.beyond.logistic.jobs import SIGMA, Job

HEAD = ("tuned", "data", "method", "loss at λ*", "excess at the start", "excess at the end", "cosine", "diverged")


def table(jobs: Iterable[Job]) -> str:
    """In Markdown, one row for each job."""
    rows = [HEAD, ("---",) * len(HEAD), *(row(job, [read(job.folder(seed)) for seed in job.seeds]) for job in jobs)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def row(job: Job, records: Sequence[Record]) -> tuple[str, ...]:
    """The cells of a job whose records these are."""
    method = job.method.short if job.sigma == SIGMA else f"{job.method.short}, σ = {job.sigma:g}"
    sound = [record.history for record in records if record.facts["outcome"] == "finished"]
    lost = [np.inf] * (len(records) - len(sound))
    first = [record.history["excess"][0] for record in records if "excess" in record.history]
    last = np.array([*(history["excess"][-1] for history in sound), *lost])
    cosines = [history["hypergradient_cosine"].mean() for history in sound]
    at_star = np.median([record.facts["exact"]["validation_loss_star"] for record in records])
    spread = f"{thousandths(np.median(last))} ({thousandths(last.min())} to {thousandths(last.max())})"
    cosine = f"{np.median(cosines):.2f}" if sound else "–"
    cells = (
        f"{at_star:.3g}",
        thousandths(np.median(first or np.inf)),
        spread,
        cosine,
        f"{len(lost)} of {len(records)}",
    )
    return job.tuned, job.data.name, method, *cells


def thousandths(nats: float) -> str:
    """In thousandths, to one decimal.

    Example:
        >>> thousandths(0.01234), thousandths(np.inf)
        ('12.3', '∞')
    """
    return f"{1000 * nats:.1f}" if np.isfinite(nats) else "∞"
