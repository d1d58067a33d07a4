"""A comparison of two models in a terminal: 80 columns, readable without colour."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from uncork.report.numbers import clean, interval, number, percent, quantity
from uncork.schema.comparison import Compared, Comparison, Difference

_WIDEST = 100
_STYLES = {"better": "bold green", "worse": "bold red", "can't tell": "cyan"}
_TITLES = {"models": "These very models", "recipes": "The two ways of training"}


def render(comparison: Comparison, console: Console) -> None:
    """Prints the verdicts, what they rest on, and what would settle what is open."""
    width = min(console.width, _WIDEST)

    def say(text: str, style: str = "", indent: int = 0) -> None:
        shown = Text(clean(text), style=style, overflow="fold")
        console.print(Padding(shown, (0, 0, 0, indent), expand=False), width=width)

    say("uncork diff · is B really better than A?", "bold")
    for side, letter in ((comparison.a, "A"), (comparison.b, "B")):
        say(f"{letter}: {scored(side)}")
    say(circumstances(comparison))
    for difference in comparison.differences:
        console.print()
        say(f"{_TITLES[difference.of]}: {answer(difference)}", _STYLES[difference.verdict])
        for line in reasons(difference, comparison):
            say(line, indent=2)
    for note in comparison.notes:
        console.print()
        say(note, "dim")


def answer(difference: Difference) -> str:
    """The verdict of B in words."""
    small = ", but by less than matters" if difference.negligible else ""
    words = {"better": f"B is better{small}", "worse": f"B is worse{small}"}
    return words.get(difference.verdict, "no difference that matters" if difference.negligible else "can't tell")


def scored(side: Compared) -> str:
    """`name, 31 (25 to 38) errors per 1,000`; of several models the least, the mean and the largest figure."""
    values = [score.value for score in side.scores if score.value is not None]
    if len(side.scores) == 1 or not values:
        return f"{side.name}, {quantity(side.scores[0])}"
    low, middle, high = min(values), sum(values) / len(values), max(values)
    of = f"{len(values)} models, mean {number(middle)} ({number(low)} to {number(high)} {side.scores[0].unit})"
    return f"{side.name}, {of}"


def circumstances(comparison: Comparison) -> str:
    """The rows, the level, and δ."""
    rows = f"{number(comparison.rows)} rows"
    matters = f"A difference matters from {number(comparison.delta)} {comparison.unit} on."
    if comparison.on == "tables":
        return f"On the {rows} of the tables; no ledger counts how often these rows are asked. {matters}"
    if comparison.on == "validation":
        return f"On the {rows} of validation. {matters}"
    spent = f"opening {comparison.opening} of these rows, judged at {percent(comparison.alpha)}"
    return f"On the {rows} of test: {spent}. {matters}"


def reasons(difference: Difference, comparison: Comparison) -> list[str]:
    """The figure, what could have been shown, and what would settle it."""
    gain = difference.gain
    if gain.value is None:
        return [f"There is no figure: {gain.method}."]
    figure, _, bounds = interval(gain).removesuffix(")").partition(" (")
    lines = [f"Gain over A: {figure} {gain.unit} ({percent(gain.level)} interval {bounds.removeprefix('interval ')})."]
    if difference.verdict != "can't tell":
        return lines
    if difference.negligible:
        return [*lines, f"The interval lies within ±{number(comparison.delta)}."]
    if difference.detectable is not None:
        lines.append(f"A difference under {number(difference.detectable)} would likely have gone unproven.")
    needed = [(difference.rows_to_settle, "rows"), (difference.seeds_to_settle, "training seeds in all")]
    counts = [f"{number(float(f'{n:.2g}'))} {of}" for n, of in needed if n is not None]
    if counts:
        lines.append(f"If it is as large as it looks, about {' or '.join(counts)} would settle it.")
    elif gain.value and gain.seeds and gain.se_seeds:
        lines.append("If it is as large as it looks, it takes both more rows and more seeds.")
    elif gain.value and gain.se:
        lines.append("If it is as large as it looks, ten thousand times the rows would not settle it.")
    return lines
