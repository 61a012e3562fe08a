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
    passes = [one for one in evidence if not one.failed]
    left = [one for one in evidence if one.failed]
    needed = MARGIN + np.log10(max([len(one.known.wrong) for one in left], default=1))
    found: dict[int, Cause] = {}
    while left:
        scored = [candidate for candidate in candidates(left, passes) if candidate.score > needed]
        if not scored:
            break
        best = max(scored, key=lambda candidate: candidate.score)
        for one, cause in zip(best.explained, best.causes, strict=True):
            found[id(one)] = cause
        left = [one for one in left if id(one) not in found]
    found |= {id(one): cause for one, cause in fallbacks(left, passes, list(found.values()))}
    return [found.get(id(one)) for one in evidence]


ENORMOUS, ROUNDED = 100.0, 0.1
"""An answer so many times as large as its terms has diverged; errors all above the second are not of precision."""

SINGLE = Cause("single precision", "errors that single precision explains, where the data are in double")
STOPPED = Cause(
    "early stop", "right where the Hessian is well conditioned, wrong where it is not: a solver that stopped early"
)
LARGE = Cause("divergence", "more than a hundred times too large: an iteration that diverges")
UNKNOWN = Cause("unknown", "none of the known causes")


def fallbacks(
    left: Sequence[Evidence], passes: Sequence[Evidence], found: Sequence[Cause]
) -> Iterator[tuple[Evidence, Cause]]:
    """What can be said where no prediction fits: by how much an answer is off, and where.

    After many steps rounding decides where a solver stands, so that no prediction fits, and `found` may name it.
    """
    least = min([one.known.conditioning for one in left], default=np.inf)
    hard = passes and least >= max(one.known.conditioning for one in passes)
    stopped = next((cause.family for cause in found if cause.kind == "early stop"), STOPPED)
    rounded = (
        all(one.error <= one.known.single for one in left) and min([one.error for one in left], default=1.0) < ROUNDED
    )
    for one in left:
        if np.linalg.norm(one.answer) > ENORMOUS * (np.linalg.norm(one.known.parts.direct) + one.known.response):
            yield one, LARGE
        elif rounded:
            yield one, SINGLE
        else:
            yield one, stopped if hard else UNKNOWN
