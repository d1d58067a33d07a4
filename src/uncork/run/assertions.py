"""One assertion of `uncork check`: what it may say, and its limit in a figure's unit.

headline.high <= 0.08                      of the metric on test; headline.clean: without rows that stand in train
wrong-labels.noise_if_random.high <= 2 %   an estimate of a finding; or its headroom
missing-capacity.headroom.high < 15 per 1,000
miscalibration.n >= 1000                   … .ece.n: how many rows or seeds stand behind a figure
miscalibration.verdict == clear            or != bottleneck
principal == none                          or != wrong-labels
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import get_args

from uncork.schema.errors import BadInput
from uncork.schema.finding import Verdict

#: A bound may only be asked for on the side that few rows can't make hold.
SIGNS = {"high": ("<=", "<"), "low": (">=", ">"), "n": (">=", ">"), "verdict": ("==", "!=")}
VERDICTS = tuple(v for v in get_args(Verdict) if v not in ("not-applicable", "not-run", "error"))

_FORM = re.compile(r"\s*(?P<what>[^<>=!]+?)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<limit>[^<>=!\s][^<>=!]*?)\s*")
_LIMIT = re.compile(r"(?P<number>[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)\s*(?P<unit>%|per 1,?000)?")
_GRAMMAR = "write FIGURE SIGN LIMIT, such as headline.high <= 0.08, wrong-labels.verdict == clear or principal == none"


@dataclass(frozen=True)
class Clause:
    """`text` taken apart. `of`: "headline", "principal" or a finding's id; `figure`: "" of a verdict; `limit`: a
    number, with % or per 1,000 where it was written so, a verdict, or an id."""

    text: str
    of: str
    figure: str
    field: str
    sign: str
    limit: str

    def in_unit(self, unit: str) -> float:
        """The limit in a figure's unit. Raises BadInput where it has no meaning there.

        Without a unit of its own it is taken as it is; of a figure per 1,000 as a share: .08 is 80 per 1,000.
        """
        found = _LIMIT.fullmatch(self.limit)
        assert found is not None
        x, own = Decimal(found["number"]), found["unit"]
        if self.field == "n":
            if own:
                raise BadInput("n is a count: give a plain number")
            return float(x)
        per_1000, share = "per 1,000" in unit, unit.startswith("share")
        if own is None:
            if per_1000 and abs(x) > 1:
                raise BadInput(
                    f"the figure counts {unit}, and {x} is no share: write {x} per 1,000, {x / 10} %, or {x / 1000}"
                )
            return float(x * 1000 if per_1000 else x)
        if not per_1000 and not share:
            raise BadInput(f"the figure's unit is {unit or 'none'}: give a plain number instead of {self.limit}")
        x = x / 100 if own == "%" else x / 1000
        return float(x * 1000 if per_1000 else x)


def parse(text: str) -> Clause:
    """One assertion taken apart. Raises BadInput that says what is wrong and how to write it."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadInput(f"that is no assertion: {_GRAMMAR}")
    what, sign, limit = found["what"], found["sign"], found["limit"].strip("'\"")
    if what == "principal":
        if sign != "!=" and (sign, limit) != ("==", "none"):
            raise BadInput("of the principal bottleneck write principal == none, or principal != ID")
        return Clause(text, what, "", "", sign, limit)
    of, _, rest = what.partition(".")
    figure, _, field = rest.rpartition(".")
    if field == "value":
        better = "low" if sign.startswith(">") else "high"
        raise BadInput(
            f"an estimate may be right by luck: a gate asks for its bound, {what.removesuffix('value')}{better}"
        )
    if field not in SIGNS:
        raise BadInput(f"{what} names no bound: end it in .low, .high, .n or .verdict")
    if sign not in SIGNS[field]:
        raise BadInput(_wrong_sign(what, field, sign))
    if of == "headline":
        if field == "verdict" or figure not in ("", "clean"):
            raise BadInput("the headline has low, high and n, and so has headline.clean")
    elif (figure == "") != (field == "verdict"):
        example = f"{of}.verdict" if figure else f"{of}.headroom.{field}"
        raise BadInput(f"{what}: a verdict is the finding's, and a bound one of its figures': write {example}")
    if field == "verdict" and limit not in VERDICTS:
        raise BadInput(f"there is no verdict {limit!r}: choose {', '.join(VERDICTS)}")
    if field != "verdict" and _LIMIT.fullmatch(limit) is None:
        raise BadInput(f"the limit {limit!r} is no number: write 0.08, 8 % or 80 per 1,000")
    return Clause(text, of, figure, field, sign, limit)


def _wrong_sign(what: str, field: str, sign: str) -> str:
    if field in ("low", "high") and sign[0] in "<>":
        other = what.removesuffix(field) + {"low": "high", "high": "low"}[field]
        return f"{what} {sign} … would hold of few rows: ask for the other bound, {other}"
    return f"{field} takes {' or '.join(SIGNS[field])}, not {sign}"
