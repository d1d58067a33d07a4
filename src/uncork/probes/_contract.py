"""The decorator that turns one function into a probe. The file's name is its id, the file's docstring its page."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from uncork.schema.artifacts import Request
from uncork.schema.contract import Probe, discover, identify, module_doc
from uncork.schema.finding import Column, Measurement, NotApplicable, Tier


def probe(
    *,
    tier: Tier,
    column: Column,
    title: str,
    failure_title: str,
    requires: Mapping[str, Request],
    remedies: tuple[str, ...] = (),
    preview: bool = False,
    spoils: str = "",
    buys: tuple[float, float] = (0.0, 0.0),
    promises: str = "",
) -> Callable[[Callable[..., Measurement | NotApplicable]], Probe]:
    """Announces a probe. Its function takes one keyword per entry of `requires`, and `rng`."""

    def wrap(measure: Callable[..., Measurement | NotApplicable]) -> Probe:
        return Probe(
            id=identify(measure.__module__),
            tier=tier,
            column=column,
            title=title,
            failure_title=failure_title,
            requires=dict(requires),
            remedies=remedies,
            measure=measure,
            doc=module_doc(measure),
            preview=preview,
            spoils=spoils,
            buys=buys,
            promises=promises,
        )

    return wrap


def registered() -> dict[str, Probe]:
    """Every probe, by id."""
    return dict(discover("uncork.probes", Probe).units)


def broken() -> dict[str, str]:
    """Modules named by the entry points of other packages that can't be imported, with the reason."""
    return dict(discover("uncork.probes", Probe).broken)
