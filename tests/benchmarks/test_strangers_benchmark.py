"""Letters, and digits left out in training, as strangers to a net for MNIST."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import strangers as module
from uncork import Split
from uncork.derived.recognised import auroc
from uncork.gather.strangers import gather
from uncork.models.rejecting import read
from uncork.schema.strangers import Strangers


@pytest.mark.slow
@pytest.mark.shared_data
def test_letters_and_a_digit_left_out(shared_data: Path) -> None:
    """Figures of docs/strangers.md, with room for another machine's kernels."""
    subject, letters, _, _ = module.ground()
    given = module.context_of(subject.replace(strangers=Split(letters)))
    data = gather.gather(Strangers(left_out=1), given)
    before = module.found(data, given).estimates
    assert before["unrecognised"].low > 0.5  # it is as sure of most letters as of digits
    assert before["auroc_mahalanobis"].low > 0.95
    assert before["fpr95_mahalanobis"].high < 0.25
    model = module.treated(given, data)
    assert model.detector.name in ("mahalanobis", "knn")
    after = module.found(gather.gather(Strangers(left_out=0), given.of(given.subject, model)), given).estimates
    assert after["unrecognised"].high < 0.3
    # Stated with probability .95 for rows like validation's: the 10,000 test rows, which chose and set nothing.
    test = given.split("test")
    assert np.mean(~read(model, test, np.arange(len(test)), "test").answered) < 0.06
    # Near strangers are told less well than letters, but better than by chance.
    (name,) = data.left_out
    near = max(auroc(data, score, "left-out").value or 0.0 for score in data.scores)
    assert 0.6 < near < before["auroc_mahalanobis"].value, name
