"""Tables 1, 3 and 4: final scores of trained networks beside the paper's, and verdicts on their order by a rule.

A run's score is taken at its epoch of lowest validation loss. For each two rows that the paper puts in an order, by
their validation scores, the seeds that both have are compared, since a seed is a split of its own. The two are

- as the paper's where the paper's better one is better in every seed,
- the other way round where it is worse in every seed,
- tied within seeds otherwise.

The verdict is "order as the paper's" where all pairs are as the paper's, "not as the paper" where any is the other
way round, and "ties within seeds" otherwise. With one seed nothing is known of the spread, and the verdict says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from figures.console.pages import comma_separated, markdown
from figures.reading.trained import setting_of
from reference.console.records import Record

Score = Callable[[Record], tuple[float, float]]
"""Validation and test."""


@dataclass(frozen=True)
class Group:
    """A row of a table: its records and the paper's validation and test score, None where the paper has none."""

    name: str
    records: Sequence[Record]
    paper: tuple[float, float] | None


@dataclass(frozen=True)
class Part:
    """What is compared: groups of one experiment at one setting.

    Args:
        score: of a record.
        decimals: of the paper's numbers.
        better: "lower" or "higher".
    """

    experiment: str
    groups: Sequence[Group]
    score: Score
    decimals: int
    better: str = "lower"

    @property
    def records(self) -> list[Record]:
        """All of them."""
        return [record for group in self.groups for record in group.records]


@dataclass(frozen=True)
class Row:
    """One group's mean scores over its seeds, and the sample standard deviation of the validation score."""

    experiment: str
    preset: str
    method: str
    seeds: int
    valid: float
    valid_sd: float
    test: float
    paper_valid: float
    paper_test: float


def rows(part: Part) -> Iterator[Row]:
    """A row for each group."""
    for group in part.groups:
        scores = np.array([part.score(record) for record in group.records])
        deviation = scores[:, 0].std(ddof=1) if len(scores) > 1 else np.nan
        numbers = float(scores[:, 0].mean()), float(deviation), float(scores[:, 1].mean())
        preset = group.records[0].settings["preset"]
        yield Row(part.experiment, preset, group.name, len(scores), *numbers, *(group.paper or (np.nan, np.nan)))


def verdict(part: Part) -> str:
    """The order in words."""
    pairs = [(a, b, compare(part, a, b)) for a, b in permutations(part.groups, 2) if _claimed(part, a, b)]
    pairs = [(a.name, b.name, signs) for a, b, signs in pairs if signs.size]
    if not pairs:
        return "no verdict: no two methods that the paper puts in an order have a seed in common"
    reversed_ = [f"{b} better than {a}" for a, b, signs in pairs if (signs < 0).all()]
    ties = [f"{a} and {b}" for a, b, signs in pairs if not (signs > 0).all() and not (signs < 0).all()]
    agree = len(pairs) - len(reversed_) - len(ties)
    words = [f"not as the paper: {', '.join(reversed_)}"] if reversed_ else []
    words += [f"ties within seeds: {', '.join(ties)}"] if ties else []
    words = [*words, f"{agree} of {len(pairs)} pairs as the paper's"] if words else ["order as the paper's"]
    fewest = min(signs.size for _, _, signs in pairs)
    seeds = f"{fewest} seeds" if fewest > 1 else "one seed, so nothing is known of the spread"
    return f"{'; '.join(words)}; here {_order(part)} ({seeds})"


def compare(part: Part, a: Group, b: Group) -> np.ndarray:
    """For each seed that both have: 1 where a is better, -1 where b is, 0 where they are equal."""
    ours, theirs = ({record.settings["seed"]: part.score(record)[0] for record in run.records} for run in (a, b))
    sign = 1 if part.better == "higher" else -1
    return np.array([sign * np.sign(ours[seed] - theirs[seed]) for seed in sorted(ours.keys() & theirs.keys())])


def _claimed(part: Part, a: Group, b: Group) -> bool:
    """Whether the paper has a strictly better than b."""
    if a.paper is None or b.paper is None:
        return False
    return a.paper[0] > b.paper[0] if part.better == "higher" else a.paper[0] < b.paper[0]


def _order(part: Part) -> str:
    means = {row.method: row.valid for row in rows(part)}
    names = sorted(means, key=lambda name: means[name], reverse=part.better == "higher")
    return (" > " if part.better == "higher" else " < ").join(names)


def files(name: str, parts: Sequence[Part], quantity: str, note: str) -> dict[str, bytes]:
    """NAME.md and NAME.csv; `quantity` is the scores' name."""
    every = [(row, part.decimals) for part in parts for row in rows(part)]
    header = ("experiment", "preset", "method", "seeds", quantity, "the paper's")
    judged = [(part.experiment, part.records[0].settings["preset"], verdict(part)) for part in parts]
    page = "\n".join(
        (
            markdown(header, (_cells(row, decimals) for row, decimals in every)),
            markdown(("experiment", "preset", "verdict"), judged),
            "".join(f"- {setting_of(part.records)}\n" for part in parts),
            note,
        )
    )
    return {f"{name}.md": page.encode(), f"{name}.csv": comma_separated(Row, (row for row, _ in every))}


def _cells(row: Row, decimals: int) -> Sequence[str]:
    deviation = f" ± {row.valid_sd:.{decimals}f}" if np.isfinite(row.valid_sd) else ""
    ours = f"{row.valid:.{decimals}f}{deviation} ({row.test:.{decimals}f})"
    paper = f"{row.paper_valid:.{decimals}f} ({row.paper_test:.{decimals}f})" if np.isfinite(row.paper_valid) else "–"
    return row.experiment, row.preset, row.method, str(row.seeds), ours, paper
