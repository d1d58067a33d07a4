"""One case: as one HTML file that loads nothing, and as a summary on the terminal."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from uncork.report import charts
from uncork.report.html import POLICY, templates
from uncork.report.numbers import clean, interval, number, percent
from uncork.report.pixels import png
from uncork.report.svg import WIDTH, image, line, short, text, tooltip
from uncork.schema.case import Attack, Case, Map, Near

_WIDEST = 100
_FEW = 8  # values of a table that are shown beside each other
SECTIONS = {
    "attribution": "What the decision hangs on",
    "neighbours": "The nearest rows of train",
    "agreement": "What retrained models decide",
    "mistakes": "The nearest mistakes",
    "attack": "The smallest change that turns it",
    "map": "Where the case lies",
}


def page(case: Case) -> str:
    """Text of the HTML page."""
    return (
        templates()
        .get_template("case.html.j2")
        .render(
            case=case,
            policy=POLICY,
            opening=opening(case),
            where=None if case.where is None else Markup(charts.scatter(case.where.data)),
            number=number,
            percent=percent,
            interval=interval,
            png=png,
            bars=bars,
            odds_bars=odds_bars,
            fall=fall,
            beside=beside,
            attacked=attacked,
            standing=standing,
            sections=SECTIONS,
        )
        .lstrip()
    )


def render(case: Case, console: Console) -> None:
    """Prints the same in short: 80 columns, readable without colour."""
    width = min(console.width, _WIDEST)

    def say(words: str, style: str = "", indent: int = 0) -> None:
        shown = Text(clean(words), style=style, overflow="fold")
        console.print(Padding(shown, (0, 0, 0, indent), expand=False), width=width)

    say(f"uncork explain · {case.name}, row {case.id} of {case.split}", "bold")
    for sentence in opening(case):
        say(sentence)
    for each in case.maps:
        said = f"{fall(each, case.baseline)}{standing(each)}"
        say(f"{each.method}: {said}" if said else each.method, indent=2)
        if each.bars:
            top = ", ".join(f"{name} {100 * share:+.0f}" for name, share in each.bars[:5])
            say(f"for (+) or against (-) it, in % of the largest: {top}", "dim", indent=4)
    for title, near in (("nearest in train", case.neighbours), ("nearest mistakes", case.mistakes)):
        if near:
            say(f"{title}: {'; '.join(map(_briefly, near))}")
    if case.votes:
        votes = ", ".join(f"{n} say {name}" for name, n in case.votes.items())
        say(f"{case.members} models retrained on {case.trained_on}: {votes}")
    if case.attack:
        say(attacked(case.attack, case.decided))
    for section, reason in case.absent.items():
        say(f"{SECTIONS.get(section, section)}: not told: {reason}", "dim")


def opening(case: Case) -> list[str]:
    """The decision, how sure it is, and what else is possible, a sentence each."""
    is_it = {
        True: "which is right",
        False: f"which is wrong: the label is {case.label}",
        None: f"the target is {case.label}",
    }
    decides = "decides" if case.answered else "hands this row over; it would have decided"
    said = [f"The model {decides} {case.decided}, {is_it[case.right]}."]
    if case.right is None:
        said = [f"The model predicts {case.decided}; {is_it[None]}."]
    if case.odds:
        top = case.odds[0]
        calibrated = f"; {_probability(top.calibrated)} calibrated" if case.temperature is not None else ""
        said.append(f"It gives {top.name} a probability of {_probability(top.probability)}{calibrated}.")
        inside = [odds.name for odds in case.odds if odds.in_set]
        named = ", ".join(inside) if inside else "it is empty, as no class is as probable here as labels mostly are"
        said.append(f"The set that holds the truth of {percent(case.coverage)} of such rows: {named}.")
    if case.within is not None:
        low, high = (number(end) for end in case.within)
        said.append(f"The interval that holds the truth of {percent(case.coverage)} of such rows: {low} to {high}.")
    if case.split == "test":
        said.append("A row of test: it is described, and nothing is decided by it.")
    return said


def _probability(p: float) -> str:
    """Two digits of what is left to 0 or 1."""
    left = min(p, 1 - p)
    if left >= 0.01:
        return f"{p:.2f}"
    return "above 0.9999" if p > 1 - 1e-4 else f"{p:.4f}" if p > 1e-4 else "below 0.0001"


def fall(each: Map, baseline: str) -> str:
    """What replacing the parts ranked first does to the probability."""
    if each.kept is None or each.by_method is None or each.by_chance is None:
        return ""
    return (
        f"With the {percent(each.share)} ranked first replaced by the {baseline}, the probability goes from "
        f"{each.kept:.2f} to {each.by_method:.2f}; with random ones to {each.by_chance:.2f}."
    )


def standing(each: Map) -> str:
    """How the method did on the run's sample."""
    if each.standing is None:
        return ""
    return f" On this run's sample its ranks lower the probability by {interval(each.standing)} more than random ones."


def attacked(attack: Attack, decided: str) -> str:
    """The smallest change in words."""
    norm = {"linf": "L∞", "l2": "L2"}.get(attack.norm, attack.norm)
    if attack.size is None:
        return f"No change was found in {norm} that turns {decided}; the threat declared is {number(attack.most)}."
    inside = "within" if attack.size <= attack.most else "beyond"
    return (
        f"A change of {number(attack.size)} in {norm} makes it {attack.became}: {inside} the threat declared, "
        f"{number(attack.most)}."
    )


def _briefly(near: Near) -> str:
    return f"{near.id} ({_classes(near)}, {number(near.distance)} away)"


def _classes(near: Near) -> str:
    return f"{near.label} taken for {near.decided}" if near.decided else near.label


def bars(each: Map) -> Markup:
    """What each column says for (right) or against (left) the decision."""
    middle, step, parts = 300.0, 24.0, []
    for i, (name, share) in enumerate(each.bars):
        y, x = 8 + step * i, middle + (WIDTH - 12 - middle) * share
        title = tooltip(f"{name}: {100 * share:+.0f} % of the largest")
        box = f'x="{min(x, middle):.2f}" y="{y:.2f}" width="{max(abs(x - middle), 0.5):.2f}" height="{step - 8:.2f}"'
        parts.append(f'<rect class="{"less" if share > 0 else "more"}" {box}>{title}</rect>')
        parts.append(text(112, y + 12, short(name, 16), "label end", full=name))
    parts.append(line(middle, 2, middle, 8 + step * len(each.bars), "zero"))
    return Markup(image(12 + step * len(each.bars), f"{each.method}: {len(each.bars)} columns", parts))


def odds_bars(case: Case) -> Markup:
    """Each class with its probability: filled as the model says, ringed as calibrated."""
    left, right, step, parts = 130.0, WIDTH - 60, 26.0, []
    for i, odds in enumerate(case.odds):
        y = 6 + step * i
        size = (right - left) * odds.probability
        x = left + (right - left) * odds.calibrated
        words = f"{odds.name}: {odds.probability:.4f}, calibrated {odds.calibrated:.4f}"
        parts.append(text(left - 8, y + 14, short(odds.name, 18), "label end strong" if odds.in_set else "label end"))
        parts.append(f'<rect class="rest" x="{left}" y="{y + 3:.2f}" width="{right - left:.2f}" height="14"/>')
        parts.append(
            f'<rect class="bin" x="{left}" y="{y + 3:.2f}" width="{size:.2f}" height="14">{tooltip(words)}</rect>'
        )
        parts.append(line(x, y, x, y + 20, "whisker"))
        parts.append(
            text(
                right + 8,
                y + 14,
                _probability(odds.probability).replace("above ", ">").replace("below ", "<"),
                "label start figures",
            )
        )
    return Markup(image(12 + step * len(case.odds), f"Probabilities of {len(case.odds)} classes", parts))


def beside(case: Case, near: tuple[Near, ...]) -> tuple[list[str], list[list[Any]]]:
    """(headings, rows) of the first values of rows of tables: this case's, then each near one's; the columns that the
    decision hangs on most, where that is told and they are named."""
    values = [dict(one.shown.values) for one in near]
    own = dict(case.shown.values)
    told = [name for name, _ in case.maps[0].bars] if case.maps else []
    names = ([n for n in told if n in own] or list(own))[:_FEW]
    heads = ["column", "this case", *(f"{one.id} ({_classes(one)})" for one in near)]
    cells = [[n, own.get(n, ""), *(v.get(n, "") for v in values)] for n in names]
    return heads, [[number(c) if isinstance(c, float) else c for c in row] for row in cells]
