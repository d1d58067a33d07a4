"""What a treatment is judged by: a score of rows, or the figure of the finding that it is meant to mend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from uncork.derived.gains import gain_of
from uncork.gather._contract import Context, gatherers
from uncork.probes._contract import registered
from uncork.run.identity import metric_key
from uncork.run.measure import run_probe
from uncork.schema.artifacts import PassData
from uncork.schema.contract import Remedy
from uncork.schema.errors import Unavailable
from uncork.schema.finding import Estimate, Finding, NotApplicable
from uncork.schema.metric import Metric
from uncork.stats.means import difference
from uncork.stats.multiplicity import with_error
from uncork.stats.score import score

#: Scores of rows, whatever the subject's metric.
ROW_SCORES = {name: Metric(name) for name in ("log-loss", "wrong-answers")}


def _nowhere(context: Context) -> PassData:
    raise Unavailable("there are no labelled shifted rows to judge by: give Subject(shifted=Split(x, y))")


@dataclass(frozen=True)
class View:
    """The rows that judge. `outputs`: a model's outputs on them. `as_validation`: a context with them as validation.

    `measured`: what was measured on them already, by finding and model. `on_shifted`: a model's outputs on shifted rows
    that judge.
    """

    outputs: Callable[[Context], PassData]
    as_validation: Callable[[Context], Context]
    measured: dict[tuple[str, str], tuple[Estimate, float]] = field(default_factory=dict)
    on_shifted: Callable[[Context], PassData] = _nowhere


@dataclass(frozen=True)
class ByMetric:
    """A metric, paired on the same rows and over seeds."""

    metric: Metric

    @property
    def name(self) -> str:
        return self.metric.name

    def key(self) -> str:
        """What tells it from others."""
        return metric_key(self.metric)

    def score(self, view: View, model: Context) -> Estimate:
        return score(self.metric, view.outputs(model))

    def gain(self, view: View, before: Sequence[Context], after: Sequence[Context]) -> Estimate:
        """One model a seed on each side; positive where `after` is better."""
        return gain_of(self.metric, *([view.outputs(model) for model in side] for side in (before, after)))


@dataclass(frozen=True)
class ByShifted:
    """A metric on shifted rows, paired on the same rows and over seeds."""

    metric: Metric

    @property
    def name(self) -> str:
        return f"{self.metric.name} on shifted"

    def key(self) -> str:
        """What tells it from others."""
        return f"{metric_key(self.metric)} on shifted"

    def score(self, view: View, model: Context) -> Estimate:
        return score(self.metric, view.on_shifted(model))

    def gain(self, view: View, before: Sequence[Context], after: Sequence[Context]) -> Estimate:
        """One model a seed on each side; positive where `after` is better."""
        return gain_of(self.metric, *([view.on_shifted(model) for model in side] for side in (before, after)))


@dataclass(frozen=True)
class ByFinding:
    """The estimate that the finding's verdict comes from, gathered and measured again on the changed model.

    Both sides are measured on the same rows and taken as independent, which makes the interval of their difference
    wider than it has to be where they agree on most rows. Of several seeds the first.
    """

    finding: str

    @property
    def name(self) -> str:
        return self.finding

    def key(self) -> str:
        """What tells it from others."""
        return f"finding {self.finding}"

    def score(self, view: View, model: Context) -> Estimate:
        return self._measured(view, model)[0]

    def gain(self, view: View, before: Sequence[Context], after: Sequence[Context]) -> Estimate:
        """Positive where `after` is better."""
        (old, sign), (new, _) = self._measured(view, before[0]), self._measured(view, after[0])
        gained = difference(new, old, unit=new.unit).scaled(sign, new.unit)
        return with_error(replace(gained, method=f"{gained.method}, of these very models"))

    def _measured(self, view: View, model: Context) -> tuple[Estimate, float]:
        """(figure, +1 where more of it is better); undetermined where it can't be measured on these rows."""
        at = (self.finding, model.model.fingerprint())
        if at not in view.measured:
            view.measured[at] = self._measure(view.as_validation(model))
        return view.measured[at]

    def _measure(self, context: Context) -> tuple[Estimate, float]:
        probe = registered()[self.finding]
        try:
            found = run_probe(probe, context, lambda request: gatherers()[type(request)].gather(request, context))
        except Unavailable as error:
            found = NotApplicable(str(error))
        if isinstance(found, NotApplicable):
            return Estimate(None, None, None, "", 0, f"not measured again: {found.reason}"), 1.0
        if found.against is None:
            return found.headroom or Estimate(None, None, None, "", 0, "no figure to judge by"), -1.0
        return found.estimates[found.against.estimate], -1.0 if found.against.at_least is None else 1.0


Yardstick = ByMetric | ByShifted | ByFinding


def yardstick(remedy: Remedy, finding: Finding, context: Context) -> Yardstick:
    """What `remedy` for `finding` is judged by; of a gate, which is judged by closing, the subject's metric."""
    if remedy.yardstick == "finding":
        return ByFinding(finding.id)
    if remedy.yardstick == "shifted":
        return ByShifted(context.facts.metric)
    return ByMetric(ROW_SCORES.get(remedy.yardstick, context.facts.metric))
