"""Which cause explains wrong answers best: the one whose predictions they equal, on as many problems as there are.

A cause is tried on every problem that had a finite answer. It explains a failure that it predicts, and is contradicted
by a pass that it predicts to fail. Its score is the digits (evidence.py) explained less the digits contradicted. A
family, the same cause with its setting open on each problem, and a constant fitted to one problem pay for that freedom.
The score must exceed the logarithm of the number of causes tried by MARGIN digits, or it may be an accident.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from reference.beyond.yardstick.cause import Cause
from reference.beyond.yardstick.diagnosis.candidates import candidates
from reference.beyond.yardstick.diagnosis.evidence import Evidence

MARGIN = 2.0


def diagnose(evidence: Sequence[Evidence]) -> list[Cause | None]:
    """For each problem the cause that explains its failure best together with the others'; None where it passed."""
    passes = [item for item in evidence if not item.failed]
    left = [item for item in evidence if item.failed]
    needed = MARGIN + np.log10(max([len(item.known.wrong) for item in left], default=1))
    causes: dict[int, Cause] = {}
    while left:
        scored = [candidate for candidate in candidates(left, passes) if candidate.score > needed]
        if not scored:
            break
        best = max(scored, key=lambda candidate: candidate.score)
        for item, cause in zip(best.explained, best.causes, strict=True):
            causes[id(item)] = cause
        left = [item for item in left if id(item) not in causes]
    causes |= {id(item): cause for item, cause in fallbacks(left, passes, list(causes.values()))}
    return [causes.get(id(item)) for item in evidence]


ENORMOUS, ROUNDED = 100.0, 0.1
"""An answer so many times as large as its terms has diverged; errors all above the second are not of precision."""

SINGLE = Cause("single precision", "errors that single precision explains, where the data are in double")
STOPPED = Cause(
    "early stop", "right where the Hessian is well conditioned, wrong where it is not: a solver that stopped early"
)
LARGE = Cause("divergence", "more than a hundred times too large: an iteration that diverges")
UNKNOWN = Cause("unknown", "none of the known causes")


def fallbacks(
    left: Sequence[Evidence], passes: Sequence[Evidence], causes: Sequence[Cause]
) -> Iterator[tuple[Evidence, Cause]]:
    """What can be said where no prediction fits: by how much an answer is off, and where.

    After many steps rounding decides where a solver stands, so that no prediction fits, and `found` may name it.
    """
    least = min([item.known.conditioning for item in left], default=np.inf)
    hard = passes and least >= max(item.known.conditioning for item in passes)
    stopped = next((cause.family for cause in causes if cause.kind == "early stop"), STOPPED)
    rounded = (
        all(item.error <= item.known.single for item in left)
        and min([item.error for item in left], default=1.0) < ROUNDED
    )
    for item in left:
        if np.linalg.norm(item.answer) > ENORMOUS * (np.linalg.norm(item.known.parts.direct) + item.known.response):
            yield item, LARGE
        elif rounded:
            yield item, SINGLE
        else:
            yield item, stopped if hard else UNKNOWN
