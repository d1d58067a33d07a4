"""What a bag of words does with negation, sarcasm and names: stated behaviours of four classifiers of sentiment.

    python -m benchmarks.behaviour      writes docs/behaviour.md; about a minute

Movie reviews (MR) from the shared data: 8,000 sentences to train on, 1,000 of validation, the rest of test.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from uncork import Split, Subject
from uncork.gather.behaviour import gather
from uncork.gather.forward import forward
from uncork.probes.behaviour_violations import measure
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.schema.behaviour import Behaviours
from uncork.schema.finding import Estimate
from uncork.schema.metric import Metric
from uncork.schema.seeds import generator
from uncork.stats.score import score

DOCS = Path(__file__).resolve().parents[1] / "docs"
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
CLASSES = ("negative", "positive")
TRAIN, VALIDATION = 8000, 1000

PAGE = """# What a bag of words does with negation

Written by `python -m benchmarks.behaviour`. Classifiers of sentiment on movie reviews (MR), {train:,} sentences to
train on. Violations per 1,000 cases, with intervals that hold for all behaviours of one model together at 95 %. Of
templates the unit is the template, not its fillings: they stand or fall together, so that a few templates show a fault
and hardly its absence. Of sentences of validation it is the sentence.

{table}

{said}
"""


def models() -> dict[str, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def of(*parts: Any) -> Any:
        return make_pipeline(*parts, LogisticRegression(C=5.0, max_iter=300))

    return {
        "words": of(TfidfVectorizer()),
        "words and pairs": of(TfidfVectorizer(ngram_range=(1, 2))),
        "words, pairs, triples": of(TfidfVectorizer(ngram_range=(1, 3))),
        "letters (2 to 5)": of(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5))),
    }


def reviews(folder: Path) -> tuple[list[str], np.ndarray]:
    table = pq.read_table(folder / "text_mr.parquet").to_pydict()
    order = generator(0, "behaviour", "reviews").permutation(len(table["text"]))
    return [table["text"][i] for i in order], np.array(CLASSES)[np.array(table["label"])[order]]


def violations(model: Any, validation: Split, test: Split) -> tuple[Estimate, dict[str, Estimate]]:
    """(errors on validation, violations of each behaviour)."""
    subject = Subject(model, validation=validation, test=test)
    context = admit(subject, describe_only=False, seed=0, fan=Executor()).context
    data = gather.gather(Behaviours(), context)
    found = measure(behaviours=data, facts=context.facts, rng=generator(0))
    error = score(Metric("error"), forward(context.model, context.split("validation")))
    return error, {name: e for name, e in found.estimates.items() if name != "worst"}


def cell(estimate: Estimate) -> str:
    return f"{estimate.value:.0f} ({estimate.low:.0f} to {estimate.high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one model; prints the page")
    quick = parser.parse_args().quick
    texts, y = reviews(SHARED)
    cuts = TRAIN, TRAIN + VALIDATION
    validation, test = Split(texts[cuts[0] : cuts[1]], y[cuts[0] : cuts[1]]), Split(texts[cuts[1] :], y[cuts[1] :])
    found = {}
    for name, model in list(models().items())[: 1 if quick else None]:
        found[name] = violations(model.fit(texts[:TRAIN], y[:TRAIN]), validation, test)
    page = PAGE.format(train=TRAIN, table=table(found), said=said(found))
    if not quick:
        (DOCS / "behaviour.md").write_text(page)
    print(page)


def table(found: dict[str, tuple[Estimate, dict[str, Estimate]]]) -> str:
    names = next(iter(found.values()))[1]
    units = {
        name: f"{name} ({e.n} {'templates' if 'templates' in e.method else 'sentences'})" for name, e in names.items()
    }
    lines = [f"| | {' | '.join(found)} |", "|---" * (len(found) + 1) + "|"]
    lines.append(f"| errors per 1,000 on validation | {' | '.join(cell(error) for error, _ in found.values())} |")
    for name, shown in units.items():
        lines.append(f"| {shown} | {' | '.join(cell(each[name]) for _, each in found.values())} |")
    return "\n".join(lines)


def said(found: dict[str, tuple[Estimate, dict[str, Estimate]]]) -> str:
    """What is surely beyond the default limit of 50 per 1,000, of each model."""
    lines = []
    for name, (_, each) in found.items():
        beyond = [behaviour for behaviour, e in each.items() if e.low is not None and e.low > 50]
        lines.append(f"* {name}: surely beyond 50 per 1,000: {', '.join(beyond) or 'nothing'}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
