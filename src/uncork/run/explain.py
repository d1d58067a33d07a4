"""Everything known about one case, on one page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from uncork.data.split import Split
from uncork.derived.confidence import probabilities
from uncork.derived.order import one_per_group
from uncork.derived.temperature import best_temperature
from uncork.gather._contract import Context
from uncork.gather._members import Member
from uncork.gather.forward import forward
from uncork.gather.store import Store, write_atomically
from uncork.report.case import page
from uncork.run.account import account, attack
from uncork.run.folder import RunFolder
from uncork.run.nearby import Space, lying, nearest, shown, space_of
from uncork.run.progress import Progress, Silent, working
from uncork.run.reopen import reopened
from uncork.schema.artifacts import Pass, PassData
from uncork.schema.case import Case, Near, Odds
from uncork.schema.errors import BadInput, Unavailable
from uncork.schema.report import Report
from uncork.schema.seeds import generator
from uncork.schema.subject import Subject
from uncork.stats.conformal import conformal_quantile, least_ambiguous_sets

SPLITS = ("validation", "test")
NEIGHBOURS, MISTAKES, LISTED = 6, 4, 5


class Explanation(Case):
    """A case that can be saved."""

    def save(self, path: str | Path) -> Path:
        """Writes the page, one HTML file that loads nothing. Raises BadInput where it can't be written."""
        write_atomically(Path(path), page(self))
        return Path(path)


def explain(
    run: Report | str | Path,
    row: Any,
    *,
    split: str | None = None,
    subject: Subject | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """What is known about one row of validation or test: the prediction and how sure it is, the conformal set at the
    required coverage, the nearest rows of train, what the decision hangs on, what retrained models decide, the smallest
    attack for a declared threat, and the nearest mistakes.

    `run`: a run folder or its Report. `row`: an id, or a position where no id is like it; looked for in validation
    first, then in test, or in `split` alone. Test rows are described, and nothing is decided by them. `subject`: needed
    where the run was made from Python objects in another process. Raises BadInput where there is no such row, or the
    subject is not the run's by now.
    """
    if split not in (None, *SPLITS):
        raise BadInput(f"split={split!r}: give validation or test")
    progress = progress or Silent()
    folder, report, context = reopened(run, subject, progress)
    place, position = found(context, row, split)
    case = _Case(folder, report, context, folder.store(folder.about()), place, position, progress)
    return case.told()


def found(context: Context, row: Any, split: str | None) -> tuple[str, int]:
    """(split, position) of a row. Raises BadInput naming ids that there are."""
    names = [split] if split else [name for name in SPLITS if getattr(context.subject, name) is not None]
    for name in names:
        at = np.flatnonzero(context.split(name).ids.astype(str) == str(row))
        if len(at) > 1:
            raise BadInput(f"id {row} stands in {len(at)} rows of {name}: ids must tell rows apart")
        if len(at):
            return name, int(at[0])
    for name in names:
        if re.fullmatch(r"\d+", str(row)) and int(row) < len(context.split(name)):
            return name, int(row)
    there = [f"{name} has {_range(context.split(name))}" for name in names]
    raise BadInput(f"there is no row {row}: {'; '.join(there)}")


def _range(split: Split) -> str:
    ids = split.ids
    some = ", ".join(str(i) for i in ids[:3])
    return f"{len(ids)} rows with ids such as {some}, …, {ids[-1]}" if len(ids) > 4 else f"the ids {some}"


class _Case:
    """One row and what it is explained from. `absent`: what could not be made, by section."""

    def __init__(
        self,
        folder: RunFolder,
        report: Report,
        context: Context,
        store: Store,
        split: str,
        position: int,
        progress: Progress,
    ) -> None:
        self.folder, self.report, self.context, self.store = folder, report, context, store
        self.split, self.position, self.progress = split, position, progress
        self.rows = context.split(split)
        self.here = np.array([position])
        self.classes, self.task = context.facts.classes, context.facts.task
        self.absent: dict[str, str] = {}

    def told(self) -> Explanation:
        context, facts = self.context, self.context.facts
        with working(self.progress, "outputs on validation", 0):
            passed = self._validation()
        own = forward(context.model, self.rows, rows=self.here, name=self.split)
        others = self._others(passed)
        odds, temperature, within = self._odds(own, others)
        decided, label = self._name(own.predicted[0]), self._name(own.y[0])
        accounts = self._try("attribution", lambda: account(context, self.report, self.rows, self.here, own)) or None
        space, near, mistakes, where = self._nearby(passed)
        trained_on, votes = self._votes()
        return Explanation(
            run=str(self.folder.path),
            name=context.subject.name or "subject",
            split=self.split,
            id=str(self.rows.ids[self.position]),
            label=label,
            decided=decided,
            answered=bool(own.answered[0]),
            right=bool(own.predicted[0] == own.y[0]) if self.task == "classification" else None,
            odds=odds,
            temperature=temperature,
            coverage=facts.require["coverage"],
            set_of=len(others),
            within=within,
            shown=shown(self.rows, self.here)[0],
            space=space.name if space else "",
            neighbours=near,
            mistakes=mistakes,
            baseline=accounts.baseline if accounts else "",
            maps=accounts.maps if accounts else (),
            members=sum(votes.values()),
            trained_on=trained_on,
            votes=votes,
            attack=self._try("attack", lambda: attack(context, self.rows, self.here, own)),
            where=where,
            absent=self.absent,
        )

    def _validation(self) -> PassData:
        for features in (True, False):
            stored: PassData | None = self.store.get(Pass("validation", features=features))
            if stored is not None:
                return stored
        return forward(self.context.model, self.context.split("validation"), name="validation")

    def _others(self, passed: PassData) -> PassData:
        """One row of each group of validation, without the case and its group: what it can be compared with."""
        if self.split == "validation":
            passed = passed.take(passed.clusters != passed.clusters[passed.rows == self.position][0])
        elif (groups := self.rows.groups) is not None and (
            theirs := self.context.split("validation").groups
        ) is not None:
            passed = passed.take(theirs[passed.rows] != groups[self.position])
        return one_per_group(passed, generator(self.context.seed, "explain"))

    def _odds(
        self, own: PassData, others: PassData
    ) -> tuple[tuple[Odds, ...], float | None, tuple[float, float] | None]:
        coverage = self.context.facts.require["coverage"]
        if self.task != "classification":
            half = conformal_quantile(np.abs(others.predicted - others.y), coverage)
            value = float(own.predicted[0])
            return (), None, (value - half, value + half)
        p = probabilities(own)[0]
        temperature = best_temperature(others.logits, others.y)
        calibrated = softmax(own.logits[0].astype(np.float64) / temperature)
        inside = least_ambiguous_sets(probabilities(others), others.y, p[None], coverage)[0]
        order = np.argsort(-p, kind="stable")
        listed = [k for i, k in enumerate(order) if i < LISTED or inside[k]]
        odds = tuple(Odds(self.classes[k], float(p[k]), float(calibrated[k]), bool(inside[k])) for k in listed)
        return odds, temperature, None

    def _nearby(self, passed: PassData) -> tuple[Space | None, tuple[Near, ...], tuple[Near, ...], Any]:
        """(what distances are in, rows of train, mistakes of validation, map of validation)."""
        space = self._try("neighbours", lambda: space_of(self.context, self.store, self.progress))
        if space is None:
            return None, (), (), None
        at = space.of(self.rows, self.here)[0]
        near: tuple[Near, ...] = ()
        if space.train is None:
            self.absent["neighbours"] = "no train split was given: give Subject(train=...)"
        else:
            near = nearest(space, at, self.context.split("train"), space.train, NEIGHBOURS, self._name)
        mistakes: tuple[Near, ...] = ()
        if self.task == "classification":
            wrong = passed.rows[(passed.predicted != passed.y) & passed.answered]
            wrong = wrong[wrong != self.position] if self.split == "validation" else wrong
            mistakes = self._mistakes(space, at, wrong, passed)
        where = self._try("map", lambda: lying(space, self.context, passed, at, self._own_row(), self.progress))
        return space, near, mistakes, where

    def _mistakes(self, space: Space, at: np.ndarray, wrong: np.ndarray, passed: PassData) -> tuple[Near, ...]:
        if not len(wrong):
            self.absent["mistakes"] = "the model makes no other mistake on validation"
            return ()
        validation = self.context.split("validation")
        decided = dict(zip(passed.rows.tolist(), passed.predicted.tolist(), strict=True))
        known = (wrong, space.of(validation, wrong))
        return nearest(space, at, validation, known, MISTAKES, self._name, decided)

    def _own_row(self) -> int | None:
        return self.position if self.split == "validation" else None

    def _votes(self) -> tuple[str, Mapping[str, int]]:
        """What models retrained on all of train decide, else those of halves of it; stored of validation alone."""
        if self.split != "validation":
            self.absent["agreement"] = "retrained models' outputs are kept of validation alone"
            return "", {}
        if self.task != "classification":
            self.absent["agreement"] = "a regression decides for no class"
            return "", {}
        for size, trained_on in ((1, "all of train"), (2, "half of train")):
            votes: Counter[str] = Counter()
            for index in range(100):
                member = self.store.get(Member(size, index // size, index % size))
                if member is None:
                    break
                if not member.failed:
                    votes[self._name(int(member.on_validation[self.position].argmax()))] += 1
            if votes:
                return trained_on, dict(votes.most_common())
        self.absent["agreement"] = "the run retrained no models: give Subject(recipe=...) and a larger --budget"
        return "", {}

    def _name(self, value: Any) -> str:
        return self.classes[int(value)] if self.task == "classification" else f"{float(value):.4g}"

    def _try(self, section: str, make: Callable[[], Any]) -> Any:
        """What it makes; None where the subject has no such thing, and the reason is kept."""
        try:
            return make()
        except Unavailable as why:
            self.absent[section] = str(why)
            return None
