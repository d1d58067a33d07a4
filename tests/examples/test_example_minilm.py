"""examples/minilm_text.py: its subjects on real texts, and SST-2's duplicates beside a search by pandas."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from uncork import BadInput, audit
from uncork.derived.copies import copies
from uncork.gather.fingerprints import hash_rows
from uncork.models.adapt import as_model
from uncork.models.base import logits_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "minilm_text.py"
pytestmark = [pytest.mark.slow, pytest.mark.shared_data]


@pytest.fixture(scope="module")
def example(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNCORK_SHARED", str(shared_data))
        patch.setenv("UNCORK_FEATURES", str(tmp_path_factory.mktemp("features")))
        yield runpy.run_path(str(EXAMPLE))


def test_the_duplicates_of_sst2_are_found_and_nothing_else(example: dict[str, Any], shared_data: Path) -> None:
    data = example["table"]("text_sst2.parquet")
    hashes = {name: hash_rows(example["rows"](data, "split", name)) for name in ("train", "dev", "test")}
    table = pd.read_parquet(shared_data / "text_sst2.parquet")
    train = set(table[table.split == "train"].text)
    for name, known in (("dev", 75), ("test", 0)):
        expected = table[table.split == name].text.isin(train).to_numpy()
        assert expected.sum() == known
        assert np.array_equal(copies(hashes[name], hashes["train"]), expected)


@pytest.mark.usefixtures("in_this_process")
def test_news(example: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = example["agnews"](train=120, test=150)
    right = np.array(subject.classes)[logits_of_subject(subject).argmax(axis=1)] == subject.test.y
    assert 0.7 < right.mean() < 0.97  # chance is a quarter
    probes = ["wrong-labels", "leaked-examples"]
    report = audit(subject, pool="head", probes=probes, out=tmp_path / "run", budget="30m")
    verdicts = {finding.id: finding.verdict for finding in report.findings if finding.id in probes}
    assert {"error", "not-run", "not-applicable"}.isdisjoint(verdicts.values()), verdicts
    # Kept features are read, not made again: the encoder isn't run at all.
    monkeypatch.setitem(example["features"].__globals__, "text_features", None)
    again = example["agnews"](train=120, test=150)
    assert np.array_equal(again.model.head.weight.detach(), subject.model.head.weight.detach())


def logits_of_subject(subject: Any) -> np.ndarray:
    return logits_of(as_model(subject.model, "classification", preprocess=subject.preprocess), subject.test)


def test_where_the_data_are_not(example: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCORK_SHARED", str(tmp_path))
    with pytest.raises(BadInput, match=r"text_agnews\.parquet: set UNCORK_SHARED"):
        example["agnews"]()
