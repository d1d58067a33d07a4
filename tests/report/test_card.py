from __future__ import annotations

import dataclasses
import json
import re

import pytest

from uncork.report.card import _yaml
from uncork.schema.report import Report

from . import handmade

ODD = "--- \n---\n# x: [a, *b] \"c\" 'd' \x85\u2028\ufffe 🍾 {e}: | f\\n"


def metadata(card: str) -> dict:
    """The block between the first two lines of ---, by a YAML reader."""
    yaml = pytest.importorskip("yaml")
    _, block, _ = re.split(r"^---$", card, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(block)


def test_the_headline_stands_in_the_metadata_with_its_interval() -> None:
    index = metadata(handmade.quality_report().model_card())["model-index"]
    assert index[0]["name"] == "digits-mlp"
    error, accuracy = index[0]["results"][0]["metrics"]
    assert (error["type"], error["value"], error["args"]["low"], error["args"]["high"]) == ("error", 83.2, 70.0, 97.0)
    assert error["name"] == "error: 83 (70 to 97) errors per 1,000, 95 % interval, 1250 rows"
    ends = [accuracy["value"], accuracy["args"]["low"], accuracy["args"]["high"]]
    assert ends == pytest.approx([1 - 0.0832, 1 - 0.097, 1 - 0.07])
    (rmse,) = metadata(handmade.regression_report().model_card())["model-index"][0]["results"][0]["metrics"]
    assert (rmse["type"], rmse["value"]) == ("rmse", 0.4312)


def test_every_finding_is_there_once_with_its_figure_or_its_reason(report: Report) -> None:
    card = report.model_card()
    rows = [line for line in card.splitlines() if line.startswith("| ")][1:]
    listed = card.partition("Not measured:")[2].splitlines()
    for f in report.findings:
        measured = f.verdict not in ("not-applicable", "not-run", "error")
        here = [row for row in (rows if measured else listed) if re.match(rf"(\| |\* ){f.id} ", row)]
        assert len(here) == 1, f.id
    assert all(len(re.findall(r" \| ", row)) == 3 for row in rows)
    assert "### Limits" in card


def test_without_a_headline_there_are_no_results() -> None:
    assert metadata(handmade.empty_report().model_card()) == {"tags": ["uncork"]}


def test_what_the_user_wrote_is_text() -> None:
    card = handmade.nasty_report().model_card()
    body = card.split("\n---\n", 1)[1]
    assert "<" not in body
    assert "[red]" not in card.split("\n---\n", 1)[1]
    assert "\x1b" not in card
    subject = {**handmade.quality_report().subject, "name": ODD}
    odd = dataclasses.replace(handmade.quality_report(), subject=subject).model_card()
    assert [line for line in odd.splitlines() if line.startswith("---")] == ["---", "---"]
    index = metadata(odd)["model-index"]
    assert index[0]["name"] == "--- --- # x: [a, *b] \"c\" 'd' � � 🍾 {e}: | f\\n"


def test_values_come_back_from_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    for value in (1e-05, -2.5e-7, 1e16, 0.1, 3, 0, None, "no", "1e-05", "", "2026-01-01", ["a: b", {"#": "- x"}]):
        assert yaml.safe_load(_yaml(value)) == value == json.loads(_yaml(value))


@pytest.mark.slow
def test_hugging_face_reads_it(report: Report) -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(report.model_card())
    results = card.data.eval_results or []
    assert len(results) == (0 if report.headline.value is None else 1 + (report.headline.metric == "error"))
    if results:
        assert results[0].metric_value == report.headline.value
        assert results[0].metric_args["n"] == report.headline.n
        assert card.data.model_name == " ".join(re.sub(r"\x1b", "�", report.subject["name"]).split())
    again = hub.ModelCard(str(card))  # as it is written out by the library
    assert again.data.to_dict() == card.data.to_dict()
    assert again.text == card.text
