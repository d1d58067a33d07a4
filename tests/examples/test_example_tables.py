"""examples/tables.py: its figures are another implementation's, and what boosting gains is proven on test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.preprocessing import OrdinalEncoder

from uncork import BadInput, Subject, audit, treat
from uncork.run.source import load_subject
from uncork.schema.subject import SPLITS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tables.py"


def subject_of(name: str, data: Path) -> Subject:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNCORK_SHARED", str(data))
        subject = load_subject(f"{EXAMPLE}:{name}")
    assert isinstance(subject, Subject)
    return subject


def rows(split: Any) -> Any:
    return split.take(np.arange(len(split)))


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.usefixtures("in_this_process")
def test_housing_audited_and_treated(shared_data: Path, tmp_path: Path) -> None:
    """Boosting by scikit-learn alone errs as the trial's rivals do, within their settings; uncork proves its gain."""
    subject = subject_of("housing", shared_data)
    x = [rows(getattr(subject, name)) for name in SPLITS]
    assert sum(int(part.isna().sum().sum()) for part in x) > 50  # bedrooms, of 207 in all of the table
    assert len({tuple(row) for part in x for row in part.astype(str).to_numpy()}) == sum(map(len, x))
    with torch.no_grad():
        predicted = subject.model(torch.from_numpy(subject.preprocess(x[2])))[:, 0].numpy()
    report = audit(subject, probes=["wrong-family", "overfitting"], out=tmp_path / "housing")
    assert report.headline.value == pytest.approx(np.sqrt(np.mean((predicted - subject.test.y) ** 2)), rel=1e-4)
    finding = report.finding("wrong-family")
    assert finding.verdict == "bottleneck"
    coder = OrdinalEncoder().fit(x[0][["ocean_proximity"]])
    coded = [p.assign(ocean_proximity=coder.transform(p[["ocean_proximity"]])[:, 0]) for p in x]
    trees = HistGradientBoostingRegressor(random_state=0).fit(coded[0], subject.train.y)
    plain = np.sqrt(np.mean((trees.predict(coded[1]) - subject.validation.y) ** 2))
    assert finding.estimates["rival"].value == pytest.approx(plain, rel=0.1)

    treated = treat(report, remedies=["stack"])
    assert treated.verification is not None
    assert treated.verification.proven
    assert treated.verification.gain.low > 0


@pytest.mark.shared_data
def test_tables_keep_their_words(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A net takes seconds to train: these look at the rows alone."""
    monkeypatch.setattr("uncork.Recipe.fit", lambda recipe, *_, **__: recipe.make())
    for name, words in (("bank", {"job", "month"}), ("credit", {"SEX"}), ("covertype", set())):
        subject = subject_of(name, shared_data)
        kinds = subject.preprocess.kinds
        assert words <= {column for column, kind in kinds.items() if kind == "category"}
        assert not {"duration", "ID", "y", "Cover_Type"} & set(kinds)
        assert [len(getattr(subject, part)) for part in SPLITS] == [6000, 2000, 2000]
        assert subject.test.y.min() == 0


def test_without_the_data_it_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNCORK_SHARED", str(tmp_path))
    with pytest.raises(BadInput, match=r"there is no .*tab_bank_marketing.parquet: set UNCORK_SHARED"):
        load_subject(f"{EXAMPLE}:bank")
