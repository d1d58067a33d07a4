from __future__ import annotations

import pytest

from uncork.schema.report import Report

from .handmade import REPORTS


@pytest.fixture(params=list(REPORTS))
def report(request: pytest.FixtureRequest) -> Report:
    """Every handmade report in turn."""
    return REPORTS[request.param]()
