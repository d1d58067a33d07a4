"""What is gathered of rows with several inputs, and of a model in an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onnx_helpers import B, W, net
from uncork import BadInput, Behaviour, Split
from uncork.data.joined import joined
from uncork.data.near import near_copies
from uncork.gather import attacked, attribution, behaviour, fingerprints, formats, forward, strangers
from uncork.gather._contract import Context
from uncork.gather._matrix import matrix
from uncork.gather._noise import noises
from uncork.models.onnx_model import OnnxModel
from uncork.schema.artifacts import Fingerprints, Pass
from uncork.schema.attacks import Attacked
from uncork.schema.attribution import Attribution
from uncork.schema.behaviour import Behaviours
from uncork.schema.errors import Unavailable
from uncork.schema.formats import Formats
from uncork.schema.strangers import KINDS, Strangers
from uncork.stress import linear

RNG = np.random.default_rng(0)
N = 240
IDS, REAL = RNG.integers(0, 12, (N, 5)), RNG.normal(size=(N, 3)).astype(np.float32)
Y = (REAL[:, 0] > 0).astype(int) + (IDS[:, 0] > 8)


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.last = nn.Embedding(12, 4), nn.Linear(7, 3)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        return self.last(torch.cat([self.words(ids).mean(1), real], 1))


def split(rows: slice, **changed: np.ndarray) -> Split:
    return Split({"ids": IDS[rows], "real": REAL[rows], **changed}, Y[rows])


@pytest.fixture
def context(context_of: Callable[..., Context]) -> Context:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Both()
    return context_of(
        model=module, train=split(slice(80)), validation=split(slice(80, 160)), test=split(slice(160, N)),
        require={"linf": 0.1}, behaviours=[Behaviour("turned", change=lambda x, u: {**x, "ids": x["ids"][:, ::-1]})],
    )  # fmt: skip


def test_a_pass_names_the_input_that_lacks_a_value(context, context_of):
    passed = forward.gather.gather(Pass("validation", features=True), context)
    assert passed.features.shape == (80, 7)
    real = REAL[80:160].copy()
    real[11, 2] = np.nan
    with pytest.raises(BadInput, match=r"validation.x\['real'\] holds NaN or inf in row 11"):
        forward.forward(context.model, split(slice(80, 160), real=real), name="validation")


def test_copies_across_splits_are_found(context):
    """Rows are hashed input by input, whatever the order of the names and the types of the numbers."""
    again = Split({"real": REAL[:80].astype(np.float64), "ids": IDS[:80].astype(np.int32)}, Y[:80])
    np.testing.assert_array_equal(fingerprints.hash_rows(context.split("train")), fingerprints.hash_rows(again))
    changed = IDS[:80].copy()
    changed[3, 1] += 1
    differs = fingerprints.hash_rows(split(slice(80), ids=changed)) != fingerprints.hash_rows(split(slice(80)))
    assert np.flatnonzero(differs.any(axis=1)).tolist() == [3]
    prints = fingerprints.gather.gather(Fingerprints(), context)
    assert (prints.train.shape, prints.near_queried) == ((80, 16), (0, 0))


def test_as_a_matrix_the_inputs_stand_side_by_side(context):
    found = matrix(context.split("train"), "train", np.array([4, 2]), "somebody")
    np.testing.assert_array_equal(found, np.concatenate([IDS[[4, 2]], REAL[[4, 2]]], axis=1).astype(np.float32))


def test_formats_are_those_of_each_input(context):
    found = formats.gather.gather(Formats(), context)
    assert {name.split(": ")[0] for name in found.names} == {"ids", "real"}
    assert "ids: two columns swapped" in found.names
    assert "real: × 255" in found.names
    assert "ids: × 255" not in found.names  # codes


def test_noise_has_the_form_of_each_input(context):
    found = noises(context.split("train"), 50, np.random.default_rng(0))
    for made in found.values():
        assert {name: (part.shape, part.dtype) for name, part in made.items()} == {
            "ids": ((50, 5), IDS.dtype),
            "real": ((50, 3), REAL.dtype),
        }
    assert set(np.unique(found["shuffled"]["ids"])) <= set(range(12))
    looked = strangers.gather.gather(Strangers(), context)
    assert {KINDS[kind] for kind in looked.kind} == {"known", "uniform", "shuffled"}


def test_behaviours_of_the_users_own_are_tried(context):
    """The mean over words doesn't hang on their order."""
    found = behaviour.gather.gather(Behaviours(), context)
    assert found.names == ("turned",)
    assert len(found.broke) > 0
    assert not found.broke.any()


def test_what_does_not_apply_says_so(context):
    with pytest.raises(Unavailable, match="rows are no numbers, or several arrays"):
        attacked.gather.gather(Attacked(), context)


@pytest.mark.slow  # captum takes seconds to be there
def test_nothing_is_told_of_what_several_inputs_decide(context):
    with pytest.raises(Unavailable, match="tokens, whole numbers or several inputs"):
        attribution.gather.gather(Attribution(), context)


def test_near_copies_and_joined_splits():
    rows = np.array([7, 3, 5])
    near = near_copies(split(slice(80)), rows, np.random.default_rng(0))
    assert near.changed.all()
    for copy in near.copies:
        np.testing.assert_array_equal(copy["ids"], IDS[rows])  # codes stay
        assert 0 < np.abs(copy["real"] - REAL[rows]).max() < 0.5
    both = joined(split(slice(10)), split(slice(10, 20)), Y[10:20])
    taken = both.take(np.array([15, 2, 11]))
    np.testing.assert_array_equal(taken["ids"], IDS[[15, 2, 11]])
    with pytest.raises(BadInput, match="rows that are mapping and rows that are array can't be joined"):
        joined(split(slice(10)), Split(REAL[:10], Y[:10]), Y[:10])


def test_strangers_of_another_form_are_refused(context_of):
    given: dict[str, Any] = {"model": Both(), "test": split(slice(80, N)), "validation": split(slice(80))}
    with pytest.raises(BadInput, match=r"strangers.x has inputs ids of shape \(4,\), real of shape \(3,\), but test.x"):
        context_of(**given, strangers=split(slice(20), ids=IDS[:20, :4]))


X = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
Z = X @ W + B


def test_an_onnx_file_is_attacked_by_queries_alone(context_of):
    """Of a linear model the truth is known: nothing beyond it is fooled, and most of what can be is."""
    model, y = OnnxModel(net()), Z.argmax(axis=1)
    context = context_of(
        model=model, validation=Split(X[:200], y[:200]), test=Split(X[200:], y[200:]), require={"linf": 0.2}
    )
    found = attacked.gather.gather(Attacked(rows=100, queries=200), context)
    assert (found.access, found.attacks) == ("black-box", ("Square",))
    assert found.clean.all()
    x = X[found.rows].astype(float)
    smallest = linear.distances(W.T.astype(float), B.astype(float), x, y[found.rows], "linf")
    fooled = found.by >= 0
    assert not fooled[smallest > 0.2 + 1e-5].any()
    low, high = X[:200].min(axis=0) + 0.2, X[:200].max(axis=0) - 0.2
    inside = ((x > low) & (x < high)).all(axis=1)  # where the box takes no room from the attack
    assert (smallest[inside] < 0.15).sum() > 8
    assert fooled[inside & (smallest < 0.15)].all()


@pytest.mark.slow  # captum takes seconds to be there
def test_what_an_onnx_file_depends_on_is_told_by_occlusion(context_of):
    y = Z.argmax(axis=1)
    context = context_of(model=OnnxModel(net()), validation=Split(X[:200], y[:200]), test=Split(X[200:], y[200:]))
    found = attribution.gather.gather(Attribution(), context)
    assert found.methods == ("occlusion",)
    assert "no torch module at the core of the model, and so no gradient" in found.left_out["integrated_gradients"]
    rows, baseline = X[:200][found.rows], X[:200].mean(axis=0)
    exact = (rows - baseline) * W.T[found.decided]
    exact /= np.abs(exact).max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.maps[0].astype(float), exact, atol=2e-3)
