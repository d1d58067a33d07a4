"""The docstring of a probe, remedy or gatherer is its page; a page with a section missing is not finished."""

from __future__ import annotations

from collections.abc import Sequence


def missing_sections(doc: str, sections: Sequence[str]) -> list[str]:
    """The sections that `doc` lacks: a heading is a line underlined with dashes, followed by some text."""
    lines = [line.strip() for line in doc.splitlines()]
    headings = [i for i in range(len(lines) - 1) if lines[i] and lines[i + 1] and set(lines[i + 1]) == {"-"}]
    ends = [*headings[1:], len(lines)]
    there = {lines[i] for i, end in zip(headings, ends, strict=True) if any(lines[i + 2 : end])}
    return [section for section in sections if section not in there]
