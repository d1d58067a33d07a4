"""Trainers of transformers as Subjects: what the model reads, and that the recipe trains it again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch

import uncork
from uncork.models.adapt import as_model
from uncork.schema.errors import BadInput
from uncork.testing.texts import reviews, tiny_folder
from uncork.train.from_trainer import Retrain, TrainerTokens
from uncork.train.loop import fit_any


def test_another_object_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^trainer is of type SimpleNamespace: give a transformers\.Trainer$"):
        uncork.from_trainer(SimpleNamespace())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("accelerate")  # without which there is no Trainer
    return tiny_folder(tmp_path_factory.mktemp("encoder"))


def trained(
    folder: Path,
    tmp: Path,
    *,
    init: bool = True,
    keep_text: bool = True,
    cut: int = 6,
    epochs: int = 3,
    before: str = "",
    **more: Any,
) -> Any:
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def begin() -> Any:
        return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2, id2label={0: "bad", 1: "good"})

    def table(seed: int) -> Any:
        rows = reviews(60, seed=seed)
        data = Dataset.from_dict({"text": rows.take(np.arange(60)), "label": rows.y.tolist()})
        data = data.map(
            lambda rows: tokenizer([before + text for text in rows["text"]], truncation=True, max_length=cut),
            batched=True,
        )
        return data if keep_text else data.remove_columns("text")

    args = TrainingArguments(
        str(tmp), num_train_epochs=epochs, learning_rate=3e-3, report_to=[], disable_tqdm=True, use_cpu=True, **more
    )
    given = {"model_init": begin} if init else {"model": begin()}
    trainer = Trainer(**given, args=args, train_dataset=table(1), eval_dataset=table(2), processing_class=tokenizer)
    trainer.train()
    return trainer


@pytest.mark.slow
@pytest.mark.parametrize("keep_text", [True, False])
def test_a_trainer_and_its_recipe(folder: Path, tmp_path: Path, keep_text: bool) -> None:
    trainer = trained(folder, tmp_path, keep_text=keep_text)
    subject = uncork.from_trainer(trainer)
    assert subject.train.kind == ("text" if keep_text else "mapping")
    assert isinstance(subject.preprocess, TrainerTokens) == keep_text
    assert (subject.classes, subject.validation) == (("bad", "good"), None)
    # What trainer.predict says, cut where the trainer's rows were.
    model = as_model(subject.model, "classification", preprocess=subject.preprocess)
    own = trainer.predict(trainer.eval_dataset)
    np.testing.assert_allclose(model.outputs(subject.test.take(np.arange(60))).logits, own.predictions, atol=1e-4)
    np.testing.assert_array_equal(subject.test.y, own.label_ids)
    # Trained anew on all of train under the trainer's own seed: the same weights as the trainer's.
    assert isinstance(subject.recipe, Retrain)
    state = torch.get_rng_state()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uncork.train.from_trainer.integer_seed", lambda *_: trainer.args.seed)
        again = fit_any(subject.recipe, subject.train, 0)
    assert torch.equal(state, torch.get_rng_state())
    for mine, theirs in zip(again.parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-3)
    other = fit_any(subject.recipe, subject.train, 1)
    assert not torch.equal(next(other.parameters()), next(again.parameters()))
    assert repr(subject.recipe) == repr(uncork.from_trainer(trainer).recipe)
    tokens = subject.preprocess
    if tokens is not None:
        tokens.tokenizer(["the film"], padding="max_length", max_length=9)
        assert repr(TrainerTokens(tokens.tokenizer, tokens.most, tokens.names)) == repr(tokens)
        assert (tokens.most, "most=7" in repr(TrainerTokens(tokens.tokenizer, 7, tokens.names))) == (6, True)
    travelled = cloudpickle.loads(cloudpickle.dumps(subject.recipe))
    assert travelled.args.num_train_epochs == 3
    told = uncork.from_trainer(trainer, test=trainer.eval_dataset)
    np.testing.assert_array_equal(told.validation.y, own.label_ids)


@pytest.mark.slow
def test_why_there_is_no_recipe(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"^recipe is None, .*model_init"):
        assert uncork.from_trainer(trained(folder, tmp_path, init=False)).recipe is None


@pytest.mark.slow
def test_texts_that_were_read_otherwise_are_taken_as_their_tokens(folder: Path, tmp_path: Path) -> None:
    trainer = trained(folder, tmp_path, before="not ", cut=40)
    subject = uncork.from_trainer(trainer)
    assert (subject.train.kind, subject.preprocess) == ("mapping", None)
    logits = as_model(subject.model, "classification").outputs(subject.test.take(np.arange(60))).logits
    np.testing.assert_allclose(logits, trainer.predict(trainer.eval_dataset).predictions, atol=1e-4)


@pytest.mark.slow
def test_what_cannot_be_read_is_said(folder: Path, tmp_path: Path) -> None:
    trainer = trained(folder, tmp_path, epochs=1)
    for bare, why in (
        (trainer.eval_dataset.remove_columns(["input_ids", "attention_mask"]), "tokenise it with"),
        (trainer.eval_dataset.remove_columns("label"), "test has no column of labels"),
    ):
        with pytest.raises(BadInput, match=why):
            uncork.from_trainer(trainer, test=bare)
    trainer.eval_dataset = None
    with pytest.raises(BadInput, match=r"the trainer has no eval_dataset: give from_trainer\(trainer, test=…\)"):
        uncork.from_trainer(trainer)


@pytest.mark.slow
def test_an_audit_of_a_trainer(folder: Path, tmp_path: Path) -> None:
    subject = uncork.from_trainer(trained(folder, tmp_path / "t", epochs=1), name="reviews")
    report = uncork.audit(subject, budget="5m", out=str(tmp_path / "run"), probes=["irreproducible-recipe"])
    assert report.findings["irreproducible-recipe"].verdict in ("clear", "undetermined"), report.findings[0].reason
