from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from uncork.probes._contract import registered
from uncork.run.rank import CAUSAL_ORDER, judge, principal, quality_family, ranked, unimportable, unmeasured
from uncork.schema.contract import Probe
from uncork.schema.finding import Estimate, Finding, Limit, Measurement, NotApplicable
from uncork.stats.power import detectable, rows_to_settle, seeds_to_settle

DELTA = 5.0


def a_probe(name: str = "wrong-labels", tier: str = "defect", column: str = "quality") -> Probe:
    return Probe(
        id=name,
        tier=tier,
        column=column,
        title="fine",
        failure_title="broken",
        requires={},
        remedies=("relabel",),
        measure=lambda: NotApplicable(""),
        doc="",
    )


def estimate(low: float | None, high: float | None, *, se: float | None = None, df: float | None = None) -> Estimate:
    value = None if low is None or high is None else (low + high) / 2
    return Estimate(value, low, high, "errors per 1,000", 400, "t over rows", se, df)


def headroom(value: float, se: float, df: float | None = None) -> Estimate:
    half = 1.959964 * se
    return Estimate(value, value - half, value + half, "errors per 1,000", 400, "t over rows", se, df)


def judged(measurement: Measurement, probe: Probe | None = None, family: int = 3) -> Finding:
    return judge(probe or a_probe(), measurement, delta=DELTA, family=family, seconds=1.5)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (5.1, 9, "bottleneck"),
        (5.0, 9, "undetermined"),
        (4.9, 9, "undetermined"),
        (-1, 5.0, "undetermined"),
        (-1, 4.9, "clear"),
        (-9, -1, "clear"),
        (None, 3, "undetermined"),
        (6, None, "undetermined"),
        (None, None, "undetermined"),
    ],
)
def test_verdict_by_headroom(low: float | None, high: float | None, verdict: str) -> None:
    found = judged(Measurement({}, headroom=estimate(low, high)))
    assert found.verdict == verdict
    assert found.title == {"bottleneck": "broken", "clear": "fine"}.get(verdict, "broken?")


def test_no_headroom_is_undetermined() -> None:
    assert judged(Measurement({})).verdict == "undetermined"


@pytest.mark.parametrize(
    ("limit", "low", "high", "verdict"),
    [
        ({"at_most": 0.02}, 0.021, 0.05, "bottleneck"),
        ({"at_most": 0.02}, 0.02, 0.05, "undetermined"),
        ({"at_most": 0.02}, 0.01, 0.021, "undetermined"),
        ({"at_most": 0.02}, 0.01, 0.02, "clear"),
        ({"at_least": 0.99}, 0.9, 0.989, "bottleneck"),
        ({"at_least": 0.99}, 0.9, 0.99, "undetermined"),
        ({"at_least": 0.99}, 0.98, 0.995, "undetermined"),
        ({"at_least": 0.99}, 0.99, 0.999, "clear"),
        ({"at_most": 0.02}, None, 0.5, "undetermined"),
        ({"at_least": 0.99}, 0.2, None, "undetermined"),
    ],
)
def test_verdict_by_limit_outranks_headroom(
    limit: dict[str, float], low: float | None, high: float | None, verdict: str
) -> None:
    for other in (estimate(50, 60), estimate(-1, 1), None):
        measurement = Measurement({"it": estimate(low, high)}, headroom=other, against=Limit("it", **limit))
        assert judged(measurement, a_probe(column="trust")).verdict == verdict


def test_what_could_have_been_found() -> None:
    """Only for headroom in the metric (quality), and rows only where nothing was settled."""
    open_, proven = headroom(6, 3, 20), headroom(30, 3, 20)
    found = judged(Measurement({}, headroom=open_))
    assert found.detectable == detectable(open_, DELTA, 3)
    assert found.rows_to_settle == rows_to_settle(open_, DELTA, 3)
    assert judged(Measurement({}, headroom=proven)).rows_to_settle is None
    assert judged(Measurement({}, headroom=proven)).detectable is not None
    trust = judged(Measurement({}, headroom=open_), a_probe(column="trust"))
    assert (trust.detectable, trust.rows_to_settle) == (None, None)
    exact = judged(Measurement({}, headroom=estimate(1, 9)))
    assert (exact.detectable, exact.rows_to_settle) == (None, None)


def test_seeds_that_would_settle_it() -> None:
    """Where seeds stand behind the figure, and only while nothing is settled."""
    open_ = replace(headroom(9, 3, 20), seeds=5, se_seeds=2.9)
    found = judged(Measurement({}, headroom=open_))
    assert found.seeds_to_settle == seeds_to_settle(open_, DELTA, 3)
    assert found.seeds_to_settle is not None
    assert judged(Measurement({}, headroom=open_), a_probe(column="cost")).seeds_to_settle is None
    assert judged(Measurement({}, headroom=open_.shifted(30))).seeds_to_settle is None


def test_not_measured() -> None:
    found = judge(a_probe(), NotApplicable("no train"), delta=DELTA, family=3, seconds=0.1)
    assert (found.verdict, found.reason, found.headroom, found.title) == ("not-applicable", "no train", None, "broken?")
    broken = unmeasured(a_probe(), "error", "ValueError: x", 2.0)
    assert (broken.verdict, broken.reason, broken.seconds) == ("error", "ValueError: x", 2.0)


def test_family_counts_registered_defects_of_quality() -> None:
    changed = ["domain-shift", "mistuned-training", "missing-capacity", "overfitting", "rare-classes", "undertraining"]
    changed += ["missing-invariance", "shortcut-features"]
    assert quality_family() == len([*changed, "wrong-family", "wrong-labels"])


def test_a_probe_that_cannot_be_imported_is_an_error_of_its_own() -> None:
    found = unimportable("theirs.probes.odd_labels", "ImportError: no such thing")
    assert (found.id, found.verdict, found.reason) == ("odd-labels", "error", "ImportError: no such thing")


def a_finding(name: str, value: float, se: float | None, df: float | None = None, **changes: str) -> Finding:
    probe = a_probe(name, changes.get("tier", "defect"), changes.get("column", "quality"))
    room = headroom(value, se, df) if se is not None else estimate(value - 1, value + 1)
    return judged(Measurement({}, headroom=room), probe)


def test_principal_needs_the_bound_corrected_for_the_family() -> None:
    """value − t₁₋.₀₅/ₘ · se against δ, on either side of it; the verdict alone is not enough."""
    critical = stats.t.ppf(1 - 0.05 / 10, 12)
    for value, proven in ((DELTA + critical + 0.01, True), (DELTA + critical - 0.01, False)):
        found = a_finding("a", value, 1.0, 12)
        assert found.verdict == "bottleneck"
        assert principal([found], delta=DELTA, family=10) == (("a",) if proven else ())


def test_none_proven_is_an_answer() -> None:
    assert principal([], delta=DELTA, family=3) == ()
    others = [
        a_finding("clear", 0, 1),
        a_finding("no-se", 50, None),
        a_finding("gate", 50, 1, tier="gate"),
        a_finding("trust", 50, 1, column="trust"),
        a_finding("investment", 50, 1, tier="investment"),
        unmeasured(a_probe("broken"), "error", "x"),
    ]
    assert principal(others, delta=DELTA, family=3) == ()
    assert principal([*others, a_finding("a", 20, 1)], delta=DELTA, family=3) == ("a",)


def test_ties_are_named_together_and_only_they() -> None:
    """s.e. 1 and 1: apart from 1.96 · √2 = 2.77 on."""
    top, tied, lower = a_finding("top", 30, 1), a_finding("tied", 27.3, 1), a_finding("lower", 27.1, 1)
    for order in itertools.permutations((top, tied, lower)):
        assert set(principal(order, delta=DELTA, family=3)) == {"top", "tied"}
    unproven = a_finding("wide", 29, 20)
    assert principal([top, unproven], delta=DELTA, family=3) == ("top",)


def test_what_counts_other_rows_neither_hides_the_rest_nor_is_hidden() -> None:
    shift, own = a_finding("domain-shift", 300, 1), a_finding("overfitting", 20, 1)
    assert principal([shift, own], delta=DELTA, family=3) == ("domain-shift", "overfitting")
    assert principal([a_finding("domain-shift", 20, 1), a_finding("overfitting", 300, 1)], delta=DELTA, family=3) == (
        "domain-shift",
        "overfitting",
    )
    assert principal([shift], delta=DELTA, family=3) == ("domain-shift",)


def test_ties_with_few_degrees_of_freedom_are_wider() -> None:
    """s.e. 1 and 1 on 3 d.f. each: t on 6 d.f., apart from 2.447 · √2 = 3.46 on."""
    apart = float(stats.t.ppf(0.975, 6)) * 2**0.5
    for gap, alike in ((apart - 0.01, ("a", "b")), (apart + 0.01, ("a",))):
        pair = [a_finding("a", 50, 1, 3), a_finding("b", 50 - gap, 1, 3)]
        assert principal(pair, delta=DELTA, family=3) == alike


def test_a_set_stands_in_causal_order_then_by_size() -> None:
    known = [a_finding(name, 20 + i / 10, 1) for i, name in enumerate(id for ids in CAUSAL_ORDER for id in ids)]
    others = [a_finding("mine", 20.3, 1), a_finding("theirs", 20.4, 1)]
    wanted = (*(id for ids in CAUSAL_ORDER for id in reversed(ids)), "theirs", "mine")
    assert principal([*others, *known], delta=DELTA, family=3) == wanted
    assert principal([*known, *others][::-1], delta=DELTA, family=3) == wanted


def test_causal_order_places_every_registered_defect_of_quality_and_no_other() -> None:
    defects = {p.id for p in registered().values() if (p.tier, p.column) == ("defect", "quality")}
    assert {id for ids in CAUSAL_ORDER for id in ids} & set(registered()) == defects


def test_ranked_gates_first_then_what_is_proven_then_size() -> None:
    gate = a_finding("gate", 0, 1, tier="gate")
    investment = a_finding("investment", 90, 1, tier="investment")
    small, large = a_finding("small", 20, 1), a_finding("large", 40, 1)
    clear, open_ = a_finding("clear", 0, 1), a_finding("open", 5, 1)
    absent = unmeasured(a_probe("absent"), "not-applicable", "x")
    wanted = [gate, large, small, open_, clear, absent, investment]
    for order in ([*wanted[::-1]], [*wanted[3:], *wanted[:3]]):
        assert [f.id for f in ranked(order)] == [f.id for f in wanted]


def test_trust_findings_are_not_ranked_against_one_another() -> None:
    small, large = a_finding("a", 20, 1, column="trust"), a_finding("b", 40, 1, column="trust")
    assert [f.id for f in ranked([large, small])] == ["a", "b"]


DRAWS = 2000
CHANCE = 1e-4


def principals(truths: list[float], df: int, seed: int) -> list[tuple[str, ...]]:
    """The principal in DRAWS runs whose headrooms are t-distributed about `truths` with a true s.e. of 1.

    Only what has a verdict of its own is judged: nothing else can be principal.
    """
    rng = np.random.default_rng(seed)
    values = rng.normal(truths, 1.0, (DRAWS, len(truths)))
    errors = np.sqrt(rng.chisquare(df, values.shape) / df)
    half = stats.t.ppf(0.975, df) * errors

    def found(draw: int, i: int) -> Finding:
        value, se, within = values[draw, i], errors[draw, i], half[draw, i]
        room = Estimate(value, value - within, value + within, "errors per 1,000", df + 1, "t", se, df)
        return judged(Measurement({}, headroom=room), a_probe(str(i)), family=len(truths))

    candidates = [[found(draw, i) for i in np.flatnonzero(values[draw] - half[draw] > DELTA)] for draw in range(DRAWS)]
    return [principal(c, delta=DELTA, family=len(truths)) for c in candidates]


@pytest.mark.parametrize("df", [3, 30])
@pytest.mark.parametrize("family", [1, 3, 10])
def test_false_principals_are_rare(family: int, df: int) -> None:
    """All true headrooms exactly δ, the worst case: one is named in at most 5 % of 2,000 runs (chance 1e-4)."""
    named = sum(map(bool, principals([DELTA] * family, df, family)))
    assert stats.binom.sf(named - 1, DRAWS, 0.05) >= CHANCE
    assert named > DRAWS * 0.01


@pytest.mark.parametrize("df", [3, 30])
@pytest.mark.parametrize("family", [1, 3, 10])
def test_what_is_detectable_becomes_principal(family: int, df: int) -> None:
    """One headroom is what `detectable` says at the true s.e., the others 0: named in 80 % (chance 1e-4 a side)."""
    truth = detectable(Estimate(0.0, None, None, "x", df + 1, "t", 1.0, df), DELTA, family)
    assert truth is not None
    named = sum("0" in ids for ids in principals([truth] + [0.0] * (family - 1), df, family))
    assert stats.binom.cdf(named, DRAWS, 0.8) >= CHANCE
    assert stats.binom.sf(named - 1, DRAWS, 0.8) >= CHANCE


@pytest.mark.slow
@pytest.mark.parametrize("df", [3, 30])
@pytest.mark.parametrize("family", [3, 10])
def test_equals_are_named_together(family: int, df: int) -> None:
    """Two large headrooms are equal, the others 0: both named, and nothing else, in ≥ 95 % (chance 1e-4)."""
    runs = principals([DELTA + 100, DELTA + 100] + [0.0] * (family - 2), df, family)
    together = sum(set(ids) == {"0", "1"} for ids in runs)
    assert stats.binom.cdf(together, DRAWS, 0.95) >= CHANCE


@pytest.mark.parametrize("df", [3, 30])
def test_the_smaller_is_left_out_where_rows_can_tell(df: int) -> None:
    """Two large headrooms, far apart: the smaller is never named in 2,000 runs."""
    runs = principals([DELTA + 200, DELTA + 100], df, df)
    assert set(runs) == {("0",)}
