"""`python -m reference`: checks every numbered claim of the paper and beyond it, and says for each what was found.

status   meaning
0        every claim that was asked for holds
1        one does not
2        an unknown claim or option, in one line
"""

import json
import math
from collections.abc import Sequence
from textwrap import fill

from reference.beyond.claims import CLAIMS as BEYOND
from reference.claims import CLAIMS as PAPER
from reference.claims.registry import Claim, Verdict
from reference.console.command import Parser, UserError
from reference.console.places import place_of, places

CLAIMS = (*PAPER, *BEYOND)

COLUMNS = 100
INDENT = "    "


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, print, and return the exit status."""
    parser = Parser(prog="python -m reference", description="Check every numbered claim of the paper and beyond it.")
    parser.add_argument("--json", action="store_true", help="print a list of objects instead of text")
    parser.add_argument("--only", metavar="NUMBER", help="one claim, such as 'Theorem 3', 2.3 or C.10")
    options = parser.parse_args(arguments)
    verdicts = [claim.check() for claim in chosen(options.only)]
    if options.json:
        print(json.dumps([as_object(verdict) for verdict in verdicts], ensure_ascii=False, indent=1))
    else:
        print("\n\n".join([text(verdicts), *([] if options.only is None else code(options.only))]))
    return 0 if all(verdict.holds for verdict in verdicts) else 1


def chosen(name: str | None) -> list[Claim]:
    """The claims called `name`, or all.

    Raises:
        UserError: there is none.
    """
    claims = [claim for claim in CLAIMS if name is None or claim.is_called(name)]
    if not claims:
        known = ", ".join(dict.fromkeys(label for claim in CLAIMS for label in claim.number.split(", ")))
        raise UserError(f"no claim is numbered {name!r}; the numbers are {known}")
    return claims


def as_object(verdict: Verdict) -> dict[str, object]:
    """A verdict as JSON has it; a number that is not finite is null."""
    claim, printed = verdict.claim, verdict.printed
    return {
        "number": claim.number,
        "claim": claim.words,
        "code": place_of(claim.residual),
        "residual": verdict.residual if math.isfinite(verdict.residual) else None,
        "tolerance": claim.tolerance,
        "holds": verdict.holds,
        "correction": claim.correction,
        "printed": printed if printed is not None and math.isfinite(printed) else None,
        "detail": verdict.detail,
    }


def text(verdicts: Sequence[Verdict]) -> str:
    """A paragraph for each claim and a line for all."""
    width = max(len(verdict.claim.number) for verdict in verdicts)
    failed = [verdict.claim.number for verdict in verdicts if not verdict.holds]
    corrected = sum(verdict.claim.correction is not None for verdict in verdicts)
    summary = f"{len(verdicts)} checked: {len(verdicts) - len(failed)} hold, {len(failed)} do not"
    summary += f" ({'; '.join(failed)})" if failed else ""
    summary += f". {corrected} of them in a form corrected from the paper's." if corrected else "."
    return "\n\n".join([*(paragraph(verdict, width) for verdict in verdicts), fill(summary, COLUMNS)])


def code(number: str) -> list[str]:
    """A paragraph of where a number stands in the code, and none where it does not."""
    lines = [
        f"{place}\n{fill(place.words, COLUMNS, initial_indent=INDENT, subsequent_indent=INDENT)}"
        for place in places(number)
    ]
    return ["\n".join(["In the code:", *lines])] if lines else []


def paragraph(verdict: Verdict, width: int) -> str:
    """Number, residual, tolerance and whether it holds; the claim in words; what was corrected and measured."""
    claim = verdict.claim
    holds = "holds" if verdict.holds else "DOES NOT HOLD"
    head = f"{claim.number:{width}}   residual {verdict.residual:<8.1e} tolerance {claim.tolerance:<8.0e} {holds}"
    lines = [claim.words, f"Measured by {place_of(claim.residual)}."]
    if claim.correction:
        off = "was not measured" if verdict.printed is None else f"is off by {verdict.printed:.2g}"
        lines.append(f"Misprint or slip: {claim.correction}. As printed it {off}.")
    if verdict.detail:
        lines.append(f"Measured: {verdict.detail}.")
    return "\n".join([head, *(fill(line, COLUMNS, initial_indent=INDENT, subsequent_indent=INDENT) for line in lines)])
