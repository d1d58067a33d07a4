"""Named mistakes mended without training: an audited model with corrections, how they hold, and the model on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from uncork.data.carve import halve
from uncork.data.named import Names, by_split
from uncork.data.near import near_copies
from uncork.data.split import Split
from uncork.derived.patches import clashing
from uncork.gather._contract import Context
from uncork.gather._matrix import sample
from uncork.models.base import Model, logits_of
from uncork.models.patched import Memory, Patched, Places, places, remembered
from uncork.models.ruled import PREFIX, Rule, Ruled
from uncork.run.corrections import CHANGE, NOTHING, earlier, key_of, names_of, read
from uncork.run.reopen import reopened
from uncork.run.save import save_treated
from uncork.schema.errors import BadInput
from uncork.schema.finding import Estimate
from uncork.schema.report import Report
from uncork.schema.seeds import generator, integer_seed
from uncork.schema.subject import Subject
from uncork.stats.binomial import share

MOST_ROWS = 10_000  # of each half of validation, and at once
FIRST = 10  # corrections, of which it is asked whether they hold when all the others are made too


@dataclass(frozen=True)
class Patching:
    """What `patch` made, and how it holds. Rows are named "split:id".

    model: the one that was saved; the audited model itself where nothing is corrected any more. folder: for
    `load_treated`. corrected: rows that have a correction, and rules. left_out: rows that were named, but can't be told
    from one that is right. already: rows that were named, but are decided so without a patch.
    estimates: `success`, share of the rows named that are decided as asked; `near`, share of near copies of the
    mistakes among them, and `near_unpatched`, without patches; `retained`, of the copies that the first ten corrections
    mend by themselves, those still mended with all; `locality`, share of other rows of validation that get the very
    same numbers, bit for bit; `broken` and `repaired`, per 1,000 of these rows; and by rule, of these rows that it
    holds of, the share that have its class.
    """

    model: Model
    folder: str
    corrected: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    already: tuple[str, ...] = ()
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Named:
    """m rows that are to be of a class: split and position of each, `labels` (m,), and where they lie."""

    keys: tuple[str, ...]
    splits: tuple[str, ...]
    rows: np.ndarray
    labels: np.ndarray
    places: Places

    def take(self, mask: np.ndarray) -> Named:
        at = np.flatnonzero(mask)
        keys, splits = (tuple(names[i] for i in at) for names in (self.keys, self.splits))
        where = Places(self.places.points[at], self.places.logits[at], self.places.space)
        return Named(keys, splits, self.rows[at], self.labels[at], where)

    def of(self, split: str) -> np.ndarray:
        """Mask of the rows of one split."""
        return np.array([name == split for name in self.splits], bool)


def patch(
    report_or_folder: Report | str | Path,
    corrections: Mapping[Any, Any] | str | Path | None = None,
    *,
    revert: Sequence[Any] = (),
    on: str | None = None,
    out: str | Path | None = None,
    subject: Subject | None = None,
) -> Patching:
    """Corrects named rows of an audited subject, tries how that holds, and saves the model for `load_treated`.

    `corrections`: {id: label}, or a table with columns id and label; they join those that `out` holds already. Of a
    table's rows an id may be a rule too: "if age > 30 and job == 'admin'" (`uncork.models.ruled`). `revert`: ids and
    rules that are taken back; what is saved is the model as if it had never been made. `on`: the
    split that ids are of; needed where an id stands in several. `out`: default RUN/patched. `subject`: needed where the
    run was made from Python objects in another process. Radii are calibrated on the right rows of one half of
    validation; the other half says what else changes. Test is not opened, and its rows can't be corrected. Raises
    BadInput where an id or a label is not known, or corrections contradict one another; nothing is then written.
    """
    run, context = _audited(report_or_folder, subject)
    place = run / "patched" if out is None else Path(out)
    wanted, names = earlier(place, context.model), names_of(context, on)
    for id in revert:
        key = key_of(id, names, "revert")
        if key not in wanted:
            raise BadInput(f"{place} holds no correction of {key}: it holds {', '.join(wanted) or 'none'}")
        del wanted[key]
    if corrections is not None:
        wanted |= read(corrections, names, context)
    elif not revert:
        raise BadInput("there is nothing to correct: give a table with columns id and label, or ids to take back")
    if not wanted:
        save_treated(place, context.subject, context.model, [NOTHING])
        return Patching(context.model, str(place))

    rules = [(Rule.read(key), wanted.pop(key)) for key in sorted(wanted) if key.startswith(PREFIX)]
    named = _named(wanted, names, context)
    mistakes = named.take(named.places.decided != named.labels)
    if not mistakes.keys and not rules:
        raise BadInput(f"the model decides all {len(named.keys)} rows that are named so already: nothing to correct")
    _refuse_clashes(mistakes, context.facts.classes)
    _refuse_unruly(rules, named, context)
    calibrating, judging = _halves(named, context)
    model, memory, estimates = context.model, None, {}
    if mistakes.keys:
        known = _Known.of(calibrating, context)
        memory = known.remembered(mistakes)
        model, estimates = Patched(model, memory), _near(memory, mistakes, known, context)
        if not len(memory) and not rules:
            raise BadInput(
                f"none of {len(mistakes.keys)} mistakes can be told from rows that are right: nothing is made"
            )
    if rules:
        model = Ruled(model, rules)
        estimates |= _of_rules(rules, judging, context)
    estimates |= _holding(model, named, context) | _beside(model, judging, context)
    made = memory.ids if memory is not None else ()
    words = [f"{len(made)} rows corrected"] if made else []
    save_treated(place, context.subject, model, [f"{CHANGE} {', '.join(words + [rule.text for rule, _ in rules])}"])
    return Patching(
        model,
        str(place),
        (*made, *(rule.text for rule, _ in rules)),
        tuple(key for key in mistakes.keys if key not in made),
        tuple(key for key in named.keys if key not in mistakes.keys),
        estimates,
        _notes(run, place, memory),
    )


def _audited(given: Report | str | Path, subject: Subject | None) -> tuple[Path, Context]:
    """The run's folder, and its subject as it was audited. Raises BadInput where that can't be patched."""
    folder, _, context = reopened(given, subject)
    if context.facts.task != "classification":
        raise BadInput("a correction names a class, but this model does regression: it can't be patched")
    if not context.facts.has_inputs:
        raise BadInput("this run is of predictions alone: give audit the model itself, and patch that run")
    return folder.path, context


def _named(wanted: Mapping[str, int], names: Names, context: Context) -> Named:
    """The rows, by split and position. Each is answered by itself, so that it lies where it lay with any others."""
    keys = tuple(sorted(wanted, key=names.row))
    at = [names.row(key) for key in keys]
    if not keys:
        none = np.zeros((0, context.model.n_outputs), np.float32)
        return Named((), (), np.zeros(0, np.int64), np.zeros(0, np.int64), Places(none, none, "logits"))
    parts = [places(context.model, context.split(s), rows, batch_size=1) for s, rows in by_split(at).items()]
    points, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("points", "logits"))
    where = Places(points, logits, parts[0].space)
    labels = np.array([wanted[key] for key in keys], np.int64)
    return Named(keys, tuple(split for split, _ in at), np.array([row for _, row in at]), labels, where)


def _refuse_clashes(mistakes: Named, classes: Sequence[str]) -> None:
    for pair in clashing(mistakes.places.points, mistakes.labels):
        first, second = (f"{mistakes.keys[i]} is corrected to {classes[mistakes.labels[i]]!r}" for i in pair)
        raise BadInput(f"{first}, and {second}, but the model can't tell these two rows apart: leave one of them out")


def _refuse_unruly(rules: Sequence[tuple[Rule, int]], named: Named, context: Context) -> None:
    """Raises BadInput where two rules, or a rule and a row that is named, say different classes of one row."""
    classes, split = context.facts.classes, context.split("validation")
    for name in dict.fromkeys(named.splits):
        mask = named.of(name)
        batch, keys = context.split(name).take(named.rows[mask]), np.array(named.keys)[mask]
        for rule, label in rules:
            for key, asked in zip(keys[rule.holds(batch)], named.labels[mask][rule.holds(batch)], strict=True):
                if asked != label:
                    raise BadInput(
                        f"{key} is corrected to {classes[asked]!r}, but {rule.text!r} says {classes[label]!r} of it: "
                        "add a comparison that leaves this row out"
                    )
    for rows, batch in split.batches(MOST_ROWS) if rules else ():
        said = [np.where(rule.holds(batch), label, -1) for rule, label in rules]
        for i, j in combinations(range(len(rules)), 2):
            both = np.flatnonzero((said[i] >= 0) & (said[j] >= 0) & (said[i] != said[j]))
            if len(both):
                raise BadInput(
                    f"{rules[i][0].text!r} says {classes[rules[i][1]]!r} and {rules[j][0].text!r} says "
                    f"{classes[rules[j][1]]!r} of validation:{split.ids[rows[both[0]]]}: make them exclude one another"
                )


def _of_rules(rules: Sequence[tuple[Rule, int]], rows: np.ndarray, context: Context) -> dict[str, Estimate]:
    """Of each rule: of the rows that judge and that it holds of, the share that have the class it says."""
    split = context.split("validation").subset(rows)
    assert split.y is not None
    groups, batch = _groups(context.split("validation"))[rows], split.take(np.arange(len(split)))
    held = [(rule, label, rule.holds(batch)) for rule, label in rules]
    unit = "of other rows it holds of have its class"
    return {rule.text: share((split.y == label)[mask], groups[mask]).scaled(1, unit) for rule, label, mask in held}


def _halves(named: Named, context: Context) -> tuple[np.ndarray, np.ndarray]:
    """Rows of validation that calibrate, and that judge; none of them is corrected. Which half a row falls in depends
    on no other row."""
    split = context.split("validation")
    corrected = named.rows[named.of("validation")]
    halves = [np.setdiff1d(half, corrected) for half in halve(split, integer_seed(context.seed, "patch"))]
    if not all(len(half) for half in halves):
        raise BadInput("all of validation is corrected: no rows are left to say what else would change")
    calibrating, judging = (h[sample(split.subset(h), MOST_ROWS, context.seed, "patch")] for h in halves)
    return calibrating, judging


@dataclass(frozen=True, eq=False)
class _Known:
    """Rows of validation that calibrate: where they lie, their class and their group."""

    places: Places
    y: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, context: Context) -> _Known:
        split = context.split("validation")
        assert split.y is not None
        return cls(places(context.model, split, rows, context.batch_size), split.y[rows], _groups(split)[rows])

    def remembered(self, mistakes: Named) -> Memory:
        return remembered(mistakes.keys, mistakes.places.points, mistakes.labels, self.places, self.y, self.groups)


def _groups(split: Split) -> np.ndarray:
    """(n,) the group of each row; the row itself where none is given."""
    groups: np.ndarray = (
        np.arange(len(split)) if split.groups is None else np.unique(split.groups, return_inverse=True)[1]
    )
    return groups


def _holding(patched: Model, named: Named, context: Context) -> dict[str, Estimate]:
    """On the rows that were named themselves."""
    if not named.keys:
        return {}
    right = []
    for name in dict.fromkeys(named.splits):
        mask = named.of(name)
        decided = logits_of(patched, context.split(name).subset(named.rows[mask])).argmax(axis=1)
        right.append(decided == named.labels[mask])
    return {"success": share(np.concatenate(right), None).scaled(1, "of the rows named")}


def _near(memory: Memory, mistakes: Named, known: _Known, context: Context) -> dict[str, Estimate]:
    """On near copies of the mistakes; none where there is no copy that differs from its row."""
    alone = known.remembered(mistakes.take(np.arange(len(mistakes.keys)) < FIRST))
    hits: dict[str, list[np.ndarray]] = {"near_unpatched": [], "near": [], "alone": []}
    counted, of = [], []
    for name in dict.fromkeys(mistakes.splits):
        at = np.flatnonzero(mistakes.of(name))
        near = near_copies(context.split(name), mistakes.rows[at], generator(context.seed, "patch", "near", name))
        for copy, differs in zip(near.copies, near.changed.T, strict=True):
            where = places(context.model, Split(copy), np.arange(len(at)), context.batch_size)
            decided = {"near_unpatched": where.decided, "near": memory.decided(where), "alone": alone.decided(where)}
            for key, found in decided.items():
                hits[key].append(found == mistakes.labels[at])
            counted.append(differs)
            of.append(at)
    differ, copied = np.concatenate(counted), np.concatenate(of)
    if not differ.any():
        return {}
    hit = {key: np.concatenate(parts) for key, parts in hits.items()}
    mended = differ & hit["alone"] & ~hit["near_unpatched"] & (copied < FIRST)
    asked = {
        "near": (hit["near"], differ),
        "near_unpatched": (hit["near_unpatched"], differ),
        "retained": (hit["near"], mended),
    }
    return {
        name: share(hits_of[mask], copied[mask]).scaled(1, "of near copies") for name, (hits_of, mask) in asked.items()
    }


def _beside(patched: Model, rows: np.ndarray, context: Context) -> dict[str, Estimate]:
    """On rows that were not named, and calibrated nothing."""
    split = context.split("validation").subset(rows)
    before, after = (logits_of(model, split) for model in (context.model, patched))
    was, now = (logits.argmax(axis=1) == split.y for logits in (before, after))
    groups, unit = _groups(context.split("validation"))[rows], "per 1,000 other rows"
    return {
        "locality": share((before == after).all(axis=1), groups).scaled(1, "of other rows"),
        "broken": share(was & ~now, groups).scaled(1000, unit),
        "repaired": share(~was & now, groups).scaled(1000, unit),
    }


def _notes(run: Path, place: Path, memory: Memory | None) -> tuple[str, ...]:
    notes = []
    if memory is not None and memory.space == "logits":
        notes.append(
            "The model's features aren't found, so corrections lie among its logits, where fewer rows can be told "
            "apart: name a layer with Subject(features=...)."
        )
    if (run / "treated").exists() and place != run:
        notes.append(f"{run / 'treated'} holds what treat kept: it is not patched, the audited model is.")
    return tuple(notes)
