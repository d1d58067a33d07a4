"""What `uncork check` finds: which assertions a run's report supports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Assertion:
    """One claim about a run. `text`: as it was written. `found`: what the report says of it, or why it can't tell."""

    text: str
    holds: bool
    found: str


@dataclass(frozen=True)
class Checked:
    """All claims about one run. `run`: its folder. `warnings`: what makes its figures untrustworthy, all the same."""

    run: str
    assertions: tuple[Assertion, ...]
    warnings: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every assertion does."""
        return all(assertion.holds for assertion in self.assertions)

    @property
    def failed(self) -> tuple[Assertion, ...]:
        return tuple(assertion for assertion in self.assertions if not assertion.holds)
