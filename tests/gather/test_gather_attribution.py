"""Attributions against closed forms, hand-made loops and planted dependence; the sanity check against its control."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from captum.attr import GuidedBackprop
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from torch import nn

from uncork import Predictions, Split
from uncork.derived.faithfulness import completeness_error, inert, kept, over_chance, similarity
from uncork.gather import _saliency as module
from uncork.gather._contract import Context
from uncork.gather._saliency import edges, face_of, parts_of, ranks, rate, replaced, window, windows
from uncork.gather.attribution import gather, rank_correlation
from uncork.models.aligned import Aligned
from uncork.models.base import Output
from uncork.models.offset import Offset
from uncork.models.temperature import Tempered
from uncork.models.torch_model import TorchModel, evaluating
from uncork.models.wrapped import Wrapped
from uncork.planted.nets import MLP, SmallCNN
from uncork.run.source import load_subject
from uncork.schema.attribution import Attribution, AttributionData
from uncork.schema.errors import MissingExtra, Unavailable
from uncork.testing.gatherers import check_gatherer

Make = Callable[..., Context]
FEW = Attribution(rows=16)


def seeded(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build().eval()


def rows_of(shape: tuple[int, ...], n: int = 120, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def splits(x: np.ndarray, y: np.ndarray) -> dict[str, Split]:
    third = len(x) // 3
    cuts = {"train": slice(third), "validation": slice(third, 2 * third), "test": slice(2 * third, None)}
    return {name: Split(x[at], y[at]) for name, at in cuts.items()}


def gathered(context: Context, request: Attribution = FEW) -> AttributionData:
    data: AttributionData = gather.gather(request, context)
    return data


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: Tempered(m, 2.0), lambda m: Offset(m, [0.1, 0, -0.1])])
def test_of_a_linear_model_both_are_weight_times_distance_from_the_baseline(wrap: Callable[[Any], Any]) -> None:
    net = seeded(lambda: nn.Linear(6, 3))
    x = rows_of((6,), 10)
    core = TorchModel(net, task="classification")
    core.outputs(x)
    model = wrap(core)
    face = face_of(model, Split(x), np.arange(1))
    baseline, decided = x.mean(axis=0, keepdims=True), face.logits(x).argmax(axis=1)
    found = rate(face, parts_of(face.shape), x, baseline, decided)
    exact = net.weight.detach().numpy()[decided] * (x - baseline)
    np.testing.assert_allclose(found.maps["integrated_gradients"], exact, atol=1e-5)
    scale = 2.0 if isinstance(model, Tempered) else 1.0  # occlusion asks the complete model
    np.testing.assert_allclose(scale * found.maps["occlusion"], exact, atol=1e-5)
    assert found.left_out == {"grad_cam": "the model has no convolution over pictures"}


def test_one_output_is_the_logit_of_the_second_class_and_probabilities_become_logits() -> None:
    x = rows_of((4,), 8)
    net = seeded(lambda: nn.Linear(4, 1))
    for tail, factor in ((nn.Identity(), 1.0), (nn.Sigmoid(), 1.0)):
        model = TorchModel(nn.Sequential(net, tail), task="classification")
        model.outputs(x)
        face = face_of(model, Split(x), np.arange(1))
        decided = face.logits(x).argmax(axis=1)
        found = rate(face, parts_of((4,)), x, np.zeros((1, 4), np.float32), decided, steps=64)
        sign = np.where(decided == 1, 1, -1)[:, None]
        exact = factor * sign * net.weight.detach().numpy() * x
        np.testing.assert_allclose(found.maps["integrated_gradients"], exact, atol=1e-4)


def test_integrated_gradients_add_up(context: Context) -> None:
    """Completeness within 1 % of the logit's change, of a net with kinks."""
    error = completeness_error(gathered(context))
    assert error is not None
    assert error.value < 0.01


def test_grad_cam_by_hand() -> None:
    """logit_c = Σ_k w_ck mean(A_k), so that α_k = w_ck / (h · w) and the map is Σ_k α_k A_k."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 2, 1), nn.Linear(2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).mean(dim=(2, 3)))

    net, x = seeded(Net), rows_of((1, 8, 8), 5)
    model = TorchModel(net, task="classification")
    model.outputs(x)
    face = face_of(model, Split(x), np.arange(1))
    decided = face.logits(x).argmax(axis=1)
    found = rate(face, parts_of((1, 8, 8)), x, np.zeros((1, 1, 8, 8), np.float32), decided).maps["grad_cam"]
    a = x * net.conv.weight.detach().numpy().reshape(1, 2, 1, 1) + net.conv.bias.detach().numpy().reshape(1, 2, 1, 1)
    alpha = net.head.weight.detach().numpy()[decided] / 64
    np.testing.assert_allclose(found[:, 0], np.einsum("nk,nkhw->nhw", alpha, a), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 20, 18), (20, 18, 3), (9, 9)])
def test_occlusion_is_the_mean_fall_over_the_windows_that_cover_a_number(shape: tuple[int, ...]) -> None:
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 5), nn.Tanh(), nn.Linear(5, 3)))
    x = rows_of(shape, 3)
    model = TorchModel(net, task="classification")
    model.outputs(x)
    face, parts = face_of(model, Split(x), np.arange(1)), parts_of(shape)
    decided, baseline = face.logits(x).argmax(axis=1), np.full((1, *shape), 0.3, np.float32)
    found = rate(face, parts, x, baseline, decided).maps["occlusion"]
    size, step = window(parts)
    total, times = np.zeros_like(x), np.zeros(shape)
    at = np.arange(3)
    before = face.logits(x)[at, decided]
    lengths = [shape[a] for a in parts.axes]
    ends = [range(0, max(n - s, 0) + t, t) for n, s, t in zip(lengths, size, step, strict=True)]
    assert windows(parts) == len(ends[0]) * len(ends[1])
    for top in ends[0]:
        for left in ends[1]:
            mask = np.zeros(shape, bool)
            place: list[Any] = [slice(None)] * len(shape)
            place[parts.axes[0]], place[parts.axes[1]] = slice(top, top + size[0]), slice(left, left + size[1])
            mask[tuple(place)] = True
            fall = before - face.logits(np.where(mask, baseline, x))[at, decided]
            total += fall.reshape(-1, *[1] * len(shape)) * mask
            times += mask
    np.testing.assert_allclose(found, total / times, atol=1e-5)


def test_parts_of_rows() -> None:
    assert parts_of((30,)).grid == (30,)
    assert (parts_of((3, 32, 32)).grid, parts_of((3, 32, 32)).patch) == ((16, 16), (2, 2))
    assert parts_of((28, 28, 1)).axes == (0, 1)
    assert parts_of((1, 8, 8)).count == 64
    picture = np.arange(3 * 32 * 32, dtype=float).reshape(1, 3, 32, 32)
    assert parts_of((3, 32, 32)).summed(picture)[0, 17] == picture[0, :, 2:4, 2:4].sum()
    for shape in ((1,), (2, 3, 4, 5), (300, 300)):
        with pytest.raises(Unavailable, match="parts are told of"):
            parts_of(shape)


class OnePatch(nn.Module):
    """Sees the four pixels in the middle of an 8 × 8 picture and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)
        nn.init.ones_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = self.conv(x)[:, 0, 3:5, 3:5].sum(dim=(1, 2))
        return torch.stack([-2 * seen, 2 * seen], dim=1)


def test_a_net_that_sees_one_patch_is_found_out_by_every_method(context_of: Make) -> None:
    x = rows_of((1, 8, 8), 180)
    y = (x[:, 0, 3:5, 3:5].sum(axis=(1, 2)) > 0).astype(int)
    data = gathered(context_of(model=OnePatch(), **splits(x, y)), Attribution(rows=32))
    assert data.methods == ("integrated_gradients", "grad_cam", "occlusion")
    seen = np.array([27, 28, 35, 36])
    largest = data.maps[0].astype(float).argmax(axis=1)
    assert np.isin(largest, seen).all()
    for i, name in enumerate(data.methods):
        outside = np.delete(np.abs(data.maps[i].astype(float)), seen, axis=1)
        if name == "integrated_gradients":
            assert outside.max() == 0
        found = over_chance(data, i)
        assert found.low > 0.15, name
    assert kept(data.by_edges).mean() > kept(data.by_method[0]).mean() + 0.15


def test_a_forest_that_knows_one_column(context_of: Make) -> None:
    x = rows_of((9,), 240)
    y = (x[:, 6] > 0).astype(int)
    frame = pd.DataFrame(x, columns=[f"c{i}" for i in range(9)])
    third = {
        name: Split(frame[at], y[at])
        for name, at in {"train": slice(80), "validation": slice(80, 160), "test": slice(160, None)}.items()
    }
    forest = RandomForestClassifier(20, max_features=None, random_state=0).fit(frame[:80], y[:80])
    data = gathered(context_of(model=forest, **third), Attribution(rows=40))
    assert data.methods == ("occlusion",)
    assert set(data.left_out) == {"integrated_gradients", "grad_cam"}
    assert data.similarity.size == 0
    turned = data.by_method[0, :, -1] < data.kept - 0.1
    assert 0.2 < turned.mean() < 0.8  # the others are of the class that it also decides on the baseline
    assert (np.abs(data.maps[0].astype(float)).argmax(axis=1)[turned] == 6).all()
    assert over_chance(data, 0).low > 0.1


def test_random_ranks_as_a_method_gain_nothing(context_of: Make) -> None:
    """The null: of 40 rows the mean advantage over nine random ranks has an s.e. of about .005."""
    x = rows_of((8,), 180)
    context = context_of(model=seeded(lambda: nn.Linear(8, 2)), **splits(x, np.arange(180) % 2))
    data = gathered(context, Attribution(rows=40))
    face = face_of(context.model, context.split("validation"), np.arange(2))
    rows, baseline = face.rows(context.split("validation"), data.rows), np.zeros((1, 8), np.float32)
    rng = np.random.default_rng(5)
    counts = np.round(data.shares * 8).astype(int)
    blind = [
        replaced(face, parts_of((8,)), rows, baseline, data.decided, ranks(np.zeros((40, 8)), rng), counts)
        for _ in range(10)
    ]
    assert abs(kept(np.mean(blind[1:], axis=0) - blind[0]).mean()) < 0.02
    assert over_chance(data, 0).low > 0.02


def test_replaced_by_brute_force() -> None:
    net, x = seeded(lambda: MLP(6, 3)), rows_of((6,), 4)
    model = TorchModel(net, task="classification")
    model.outputs(x)
    face, baseline, decided = (
        face_of(model, Split(x), np.arange(1)),
        np.full((1, 6), 9.0, np.float32),
        np.array([0, 1, 2, 0]),
    )
    values = np.random.default_rng(1).normal(size=(4, 6))
    found = replaced(face, parts_of((6,)), x, baseline, decided, ranks(values, np.random.default_rng(0)), np.array([2]))
    for i in range(4):
        changed = x[i].copy()
        changed[np.argsort(-values[i])[:2]] = 9.0
        p = torch.softmax(net(torch.from_numpy(changed[None])), 1)[0, decided[i]]
        assert found[i, 0] == pytest.approx(p.item(), rel=1e-5)


def test_ties_are_broken_by_chance_and_edges_follow_the_border() -> None:
    places = np.array([ranks(np.zeros((1, 4)), np.random.default_rng(s))[0] for s in range(50)])
    assert (places[:, 0] == 0).mean() < 0.5
    step = np.zeros((1, 1, 8, 8), np.float32)
    step[..., 4:] = 1
    strength = edges(parts_of((1, 8, 8)), step).reshape(8, 8)
    assert (strength[1:-1, 3:5] > 0).all()
    assert strength[:, [0, 1, 6, 7]].max() == 0


@pytest.mark.slow
def test_guided_backpropagation_fails_the_check_that_integrated_gradients_pass(digits: Any) -> None:
    """The positive control: its maps hardly depend on the last layer (Adebayo et al., 2018)."""
    x = digits[0].reshape(-1, 1, 8, 8)
    net = seeded(lambda: SmallCNN(8, 10, 0.25))
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for step in range(40):
        rows = np.arange(64) + 64 * (step % 20)
        loss = nn.functional.cross_entropy(net(torch.from_numpy(x[rows])), torch.from_numpy(digits[1][rows]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model = TorchModel(net, task="classification")
    some = x[-12:]
    model.outputs(some)
    face, parts = face_of(model, Split(x), np.arange(1)), parts_of((1, 8, 8))
    decided, baseline = face.logits(some).argmax(axis=1), x.mean(axis=0, keepdims=True)

    def guided(of: Any) -> np.ndarray:
        with evaluating(of.core.module):
            map_ = GuidedBackprop(of.core.module).attribute(
                torch.from_numpy(some).requires_grad_(), target=torch.from_numpy(decided)
            )
        return parts.summed(map_.detach().numpy())

    def graded(of: Any) -> np.ndarray:
        return parts.summed(rate(of, parts, some, baseline, decided).maps["integrated_gradients"])

    alike: dict[str, list[float]] = {"guided": [], "graded": []}
    for seed in range(4):
        other = face.reinitialised(seed)
        for name, method in (("guided", guided), ("graded", graded)):
            alike[name].append(float(rank_correlation(method(face), method(other)).mean()))
    assert min(alike["guided"]) > 0.5, alike
    assert np.mean(alike["graded"]) < 0.4, alike


def test_a_new_last_layer_leaves_the_audited_net_alone(context: Context) -> None:
    net = context.subject.model
    before = {name: value.clone() for name, value in net.state_dict().items()}
    state = torch.get_rng_state()
    data = gathered(context)
    assert net.training
    assert all(part.training for part in net.modules())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert torch.equal(state, torch.get_rng_state())
    assert data.similarity.shape == (2, 5, 8)
    assert similarity(data, 0).high < 0.9
    assert (
        face_of(context.model, context.split("validation"), np.arange(2)).reinitialised(0).core.module[3].weight
        is not net[3].weight
    )


def test_weights_that_cannot_be_drawn_anew_leave_maps_unchecked(context_of: Make, digits: Any) -> None:
    """Of a layer with weight norm the weight is worked out: drawn anew it would stay, and maps seem blind to it."""
    for normed in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        net = seeded(lambda made=normed: nn.Sequential(nn.Linear(64, 8), nn.ReLU(), made(nn.Linear(8, 10))))
        data = gathered(context_of(model=net, **splits(*digits)), Attribution(rows=4))
        assert similarity(data, 0) is None


def test_rank_correlation() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.integers(5, size=(3, 20)), rng.normal(size=(3, 20))
    np.testing.assert_allclose(rank_correlation(a, b), [spearmanr(*pair).statistic for pair in zip(a, b, strict=True)])
    assert rank_correlation(np.zeros((1, 5)), b[:1, :5]) == [1.0]  # it told nothing of the model before
    assert rank_correlation(b[:1, :5], np.zeros((1, 5))) == [0.0]


def test_keeps_the_contract(context: Context) -> None:
    check_gatherer(gather, FEW, context)


def test_bytes_through_preprocess_are_explained_as_the_model_reads_them(context_of: Make, digits: Any) -> None:
    x = np.round(255 * digits[0]).astype(np.uint8).reshape(-1, 8, 8)
    net = seeded(lambda: SmallCNN(8, 10))
    given = splits(x[:300], digits[1][:300])
    data = gathered(context_of(model=net, preprocess=lambda b: b[:, None].float() / 255, **given))
    same = gathered(context_of(model=net, **splits((x[:300, None] / 255).astype(np.float32), digits[1][:300])))
    np.testing.assert_allclose(data.by_method, same.by_method, atol=1e-3)
    assert data.grid == (8, 8)


def test_a_constant_net_is_inert(context_of: Make) -> None:
    net = nn.Linear(4, 2)
    nn.init.zeros_(net.weight)
    data = gathered(context_of(model=net, **splits(rows_of((4,)), np.arange(120) % 2)))
    assert inert(data)


def test_groups_stay_together(context_of: Make) -> None:
    x, y = rows_of((4,)), np.arange(120) % 2
    given = splits(x, y)
    given["validation"] = Split(x[40:80], y[40:80], groups=np.arange(40) // 5)
    data = gathered(context_of(model=seeded(lambda: nn.Linear(4, 2)), **given))
    np.testing.assert_array_equal(data.clusters, data.rows // 5)


def test_what_can_not_be_told(context_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    y = np.arange(120) % 2
    p = np.full((120, 2), 0.5)
    texts = [f"a {'good' if i % 2 else 'bad'} film" for i in range(120)]
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.pipeline import make_pipeline

    reader = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, y)
    embedded = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    tokens = np.random.default_rng(0).integers(5, size=(120, 2))
    for given, why in (
        ({"model": Predictions(), **splits(p, y)}, "only predictions were given"),
        ({"model": reader, **splits(_texts(texts), y)}, "text or categories"),
        ({"model": embedded, **splits(tokens, y)}, "tokens, whole numbers or several inputs"),
        ({"model": nn.Linear(4, 1), "metric": "rmse", **splits(rows_of((4,)), rows_of((), 120))}, "a regression"),
    ):
        context = context_of(**given)
        with pytest.raises(Unavailable, match=why):
            gathered(context)
    context = context_of(model=seeded(lambda: nn.Linear(4, 2)), **splits(rows_of((4,)), y))
    assert gather.price(FEW, context) > 0
    monkeypatch.setattr(module, "MOST_WINDOWS", 3)
    assert "occlusion" in gathered(context).left_out
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtra, match=r"uncork\[explain\]"):
        gather.price(FEW, context)


class _texts(list):
    """A list of str that can be cut like an array."""

    def __getitem__(self, at: Any) -> Any:
        return list(super().__getitem__(at))


def test_wrappers_are_seen_through_where_they_only_move_logits() -> None:
    class Sometimes(Wrapped):
        """Has other logits where the first number is positive."""

        called, told = "a rule", {}

        def moved(self, logits: np.ndarray) -> np.ndarray:
            return logits

        def outputs(self, batch: Any, features: bool = False) -> Output:
            out = self.inner.outputs(batch, features)
            return Output(np.where(batch[:, :1] > 0, out.logits[:, ::-1], out.logits))

    x = np.array([[1.0, 2.0], [-1.0, 2.0]], np.float32)
    core = TorchModel(seeded(lambda: nn.Linear(2, 2)), task="classification")
    core.outputs(x)
    model = Sometimes(Tempered(core, 2.0))
    assert face_of(model, Split(x), np.array([1])).core is core
    other = face_of(model, Split(x), np.array([0]))
    assert other.core is None
    np.testing.assert_allclose(other.logits(x), model.outputs(x).logits)
    aligned = Aligned(core, np.array([0, 2]), ("a", "b", "c"))
    assert face_of(aligned, Split(x), np.array([0])).core is None


def test_a_net_that_can_not_be_differentiated_is_still_occluded(context_of: Make) -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x).detach()

    data = gathered(context_of(model=seeded(Detached), **splits(rows_of((4,)), np.arange(120) % 2)))
    assert data.methods == ("occlusion",)
    assert "can't be differentiated" in data.left_out["integrated_gradients"]


@pytest.mark.slow
@pytest.mark.shared_data
def test_on_photographs_occlusion_beats_chance(context_of: Make, shared_data: Path) -> None:
    """ResNet-20 through its preprocess of bytes (h, w, c): .13 (.08 to .18) on 96 rows."""
    path = Path(__file__).resolve().parents[2] / "examples" / "cifar10_resnet20.py"
    context = context_of(load_subject(f"{path}:subject"))
    data = gathered(context, Attribution(rows=48))
    assert data.methods == ("integrated_gradients", "grad_cam", "occlusion")
    assert data.grid == (16, 16)
    assert over_chance(data, 2).low > 0
    assert completeness_error(data).value < 0.05
