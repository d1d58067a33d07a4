"""Running one probe: it gets what it declared, and a random stream of its own, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from uncork.gather._contract import Context
from uncork.schema.artifacts import Facts, Request
from uncork.schema.contract import Probe
from uncork.schema.finding import Measurement, NotApplicable
from uncork.schema.seeds import generator


def bind(probe: Probe, context: Context, fetch: Callable[[Request], Any]) -> dict[str, Any]:
    """The artifacts that a probe declared, by the names it gave them; `fetch` brings one."""
    return {
        name: context.facts if isinstance(request, Facts) else fetch(request)
        for name, request in probe.requires.items()
    }


def run_probe(probe: Probe, context: Context, fetch: Callable[[Request], Any]) -> Measurement | NotApplicable:
    """A probe's outcome."""
    return probe.measure(**bind(probe, context, fetch), rng=generator(context.seed, "probe", probe.id))
