"""Whether the toy experiments came out as the paper says, by a rule.

A claim is a step from one method to a better one, on one data set, judged by the final regret over the seeds that both
have; a seed that diverged has an infinite regret. Two regrets are the same where they differ by at most a tenth of the
larger, or by at most 0.001 %. The verdict is

- "as the paper" if the better method's median is lower and it is lower in more than half of the seeds,
- "not as the paper" if its median is higher and it is higher in more than half of the seeds,
- "no difference" otherwise, and "no verdict" where every run of both diverged or one method has no record.

Where the two ranges overlap it says so. Figure 9's first step is judged by the spike: how far, in the first quarter
of the updates, λ climbs above both its start and λ*, median over the seeds. There is a spike above 0.5 (a factor of 1.6
in the penalty), and it is removed where the better method's is less than half as high.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from figures.reading.selection import diverged, replicas
from reference.console.records import Record

RELATIVE, ABSOLUTE = 0.1, 0.001
SPIKE = 0.5
AS_THE_PAPER = ("as the paper", "not as the paper")


@dataclass(frozen=True)
class Claim:
    """The paper's: on `experiment`, `better` improves on `worse` in `quantity`, "regret" or "spike"."""

    experiment: str
    worse: str
    better: str
    quantity: str
    text: str


CLAIMS = (
    Claim("ridge", "STN", "Δ-STN", "regret", "Δ-STN ends closer to the optimum than STN (figures 3, 7)"),
    Claim("ridge-undivided", "STN", "Δ-STN", "regret", "Δ-STN ends closer than STN (figure 8)"),
    Claim("dropout", "STN", "Δ-STN", "regret", "Δ-STN ends closer than STN (figure 3)"),
    Claim("linear-network", "STN", "Centered STN", "regret", "Centered STN ends closer than STN (figure 4)"),
    Claim("linear-network", "Centered STN", "Δ-STN", "regret", "linearising helps further (figure 4)"),
    Claim("decoupling", "STN", "Reparam STN", "spike", "centring alone removes STN's spike (figure 9)"),
    Claim(
        "decoupling", "Reparam STN", "Centered STN", "regret", "the new objective improves the fixed point (figure 9)"
    ),
)


def verdict(claim: Claim, records: Sequence[Record], words: tuple[str, str] = AS_THE_PAPER) -> str:
    """The claim on one data set, in words, the first two of which say whether it came out or its contrary did."""
    runs = [{r.settings["seed"]: r for r in replicas(records, name)} for name in (claim.worse, claim.better)]
    seeds = sorted(runs[0].keys() & runs[1].keys())
    if not seeds:
        return f"no verdict: no seed has records of both {claim.worse} and {claim.better}"
    worse, better = ([run[seed] for seed in seeds] for run in runs)
    if all(map(diverged, [*worse, *better])):
        return "no verdict: every run of both diverged"
    if claim.quantity == "spike":
        return _spikes(claim, np.median([*map(spike, worse)]), np.median([*map(spike, better)]))
    return _regrets(claim, words, np.array([*map(regret, worse)]), np.array([*map(regret, better)]))


def regret(record: Record) -> float:
    """The final regret in per cent."""
    return np.inf if diverged(record) else float(100 * record.history["regret"][-1])


def spike(record: Record) -> float:
    """How far λ climbs above both its start and λ* in the first quarter of the updates."""
    update, lam = record.history["update"], record.history["lam"]
    if not update.size:
        return np.inf
    early = lam[update <= record.settings["schedule"]["updates"] / 4]
    return max(0.0, float(early.max() - max(lam[0], record.facts["exact"]["lam_star"])))


def same(a: float, b: float) -> bool:
    """Whether two regrets differ by too little to count."""
    return a == b or bool(np.isfinite([a, b]).all() and abs(a - b) <= max(RELATIVE * max(a, b), ABSOLUTE))


def number(value: float) -> str:
    """Two figures of a percentage; what is below ABSOLUTE is not told apart."""
    if not np.isfinite(value):
        return "∞" if np.isinf(value) else "–"
    if value < ABSOLUTE:
        return f"<{ABSOLUTE:g}"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"


def _regrets(claim: Claim, words: tuple[str, str], worse: np.ndarray, better: np.ndarray) -> str:
    lower = sum(b < a and not same(a, b) for a, b in zip(worse, better, strict=True))
    higher = sum(b > a and not same(a, b) for a, b in zip(worse, better, strict=True))
    medians = np.median(worse), np.median(better)
    numbers = f"{claim.better} {number(medians[1])} %, {claim.worse} {number(medians[0])} %"
    overlap = "; ranges overlap" if max(worse.min(), better.min()) <= min(worse.max(), better.max()) else ""
    seeds = f"lower in {lower} of {len(worse)} seeds, higher in {higher}{overlap}"
    if not same(*medians) and medians[1] < medians[0] and 2 * lower > len(worse):
        return f"{words[0]}: {numbers}; {seeds}"
    if not same(*medians) and medians[1] > medians[0] and 2 * higher > len(worse):
        return f"{words[1]}: {numbers}; {seeds}"
    return f"no difference: {numbers}; {seeds}"


def _spikes(claim: Claim, worse: float, better: float) -> str:
    words = f"λ climbs by {better:.1f} with {claim.better}, {worse:.1f} with {claim.worse}"
    if worse <= SPIKE:
        return f"no spike to remove: {words}" if better <= SPIKE else f"not as the paper: {words}"
    return f"as the paper: {words}" if 2 * better < worse else f"not as the paper: {words}"
