"""`uncork audit`, `uncork treat`, `uncork report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from uncork.cli.given import source_of
from uncork.cli.shared import Address, Backend, Budget, Out, Quiet, Seed, listed, progress, show
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from uncork.schema.given_pool import GivenPool

SWITCHES = ("auto", "head", "off")


def audit(
    subject: Annotated[
        str | None, typer.Argument(help="path/to/file.py:name or package.module:name of a Subject.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="No code: a model's file (.onnx, .skops, .pt, …) or folder of transformers. Needs --test."),
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(help="No model: a CSV or Parquet table of probabilities and labels (test).")
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS",
            help="With --model: a CSV or Parquet table, .npz, a folder with a folder of images a class, or one of a "
            "saved Hugging Face dataset.",
        ),
    ] = None,
    train: Annotated[str | None, typer.Option(metavar="ROWS", help="The rows, or predictions, of train.")] = None,
    validation: Annotated[
        str | None, typer.Option(metavar="ROWS", help="The rows, or predictions, of validation. Default: half of test.")
    ] = None,
    shifted: Annotated[
        str | None, typer.Option(metavar="ROWS", help="With --model: rows from where it is to be used next.")
    ] = None,
    unlabelled: Annotated[
        str | None, typer.Option(metavar="ROWS", help="With --model: rows like train's that nobody has labelled.")
    ] = None,
    strangers: Annotated[
        str | None, typer.Option(metavar="ROWS", help="With --model: rows that it was not made for.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column of labels in tables of rows.")] = None,
    label: Annotated[str | None, typer.Option(help="The column of labels in the tables of predictions.")] = None,
    text: Annotated[str | None, typer.Option(help="The column of texts, where those are what the model reads.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="The columns that the model reads, a,b,c (default: all that no other option names), or those of "
            "probabilities (default: found by their sum)."
        ),
    ] = None,
    id: Annotated[str | None, typer.Option(help="The column of row ids.")] = None,
    group: Annotated[
        str | None, typer.Option(help="The column that names what rows belong to, such as a patient: never parted.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="The column of times, numbers or ISO dates: earlier rows choose, later ones judge."),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="Names of the classes, a,b,c, in the order of the model's outputs.")
    ] = None,
    pixels: Annotated[
        str | None,
        typer.Option(
            metavar="0-255|0-1|imagenet",
            help="With images: what the model takes, bytes as they are, over 255, or also standardised as ImageNet is.",
        ),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Read a --model that is a pickle, which can run any code.")
    ] = False,
    pool: Annotated[
        str,
        typer.Option(
            metavar="auto|head|off|TABLE",
            help="auto: retrain as the budget allows; head: the last layer of a frozen encoder alone; off: never; a "
            "CSV or Parquet table of out-of-fold predictions of train: these instead.",
        ),
    ] = "auto",
    fold: Annotated[
        str | None, typer.Option(help="With --pool TABLE: the column that numbers the folds. Default: fold.")
    ] = None,
    relabelled: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="A CSV or Parquet table of random rows of train that were labelled anew: columns id and label.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="K|TABLE",
            help="Of the subject's shifted rows: use the labels of K random ones, or where there are none name K in "
            "to_label.csv; or that table, filled in.",
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="error (default), accuracy, log-loss, auc; of a regression rmse (default), mae.")
    ] = None,
    budget: Budget = "10m",
    out: Out = None,
    probes: Annotated[str | None, typer.Option(help="Probes to run, a,b,c. Default: all; see `uncork probes`.")] = None,
    preview: Annotated[bool, typer.Option("--preview", help="Run the probes that are in preview, too.")] = False,
    describe_only: Annotated[
        bool, typer.Option("--describe-only", help="Describe on all of test; nothing can be treated afterwards.")
    ] = False,
    seed: Seed = 0,
    backend: Backend = "loky",
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Measure what holds a model back, and rank it."""
    from uncork.run.source import subject_of

    options = {"--test": test, "--train": train, "--validation": validation, "--shifted": shifted}
    options |= {"--unlabelled": unlabelled, "--strangers": strangers, "--target": target, "--label": label}
    options |= {"--text": text, "--columns": columns, "--id": id, "--group": group, "--time": time}
    options |= {"--classes": classes, "--metric": metric, "--pixels": pixels}
    options["--trust-pickle"] = "yes" if trust_pickle else None
    of_pool = () if pool in SWITCHES else ("--columns", "--id")
    source = source_of(subject, predictions, model, options, of_pool)
    from uncork import audit as run

    report = run(
        subject_of(source, out or "", again=False),
        budget=budget,
        out=out,
        probes=listed(probes),
        preview=preview,
        pool=brought(pool, fold, id, listed(columns) if model is None else None),
        relabelled=relabelled,
        labels=int(labels) if labels is not None and labels.isdecimal() else labels,
        seed=seed,
        backend=backend,
        address=address,
        describe_only=describe_only,
        source=source,
        progress=progress(quiet),
    )
    show(report, quiet)


def brought(pool: str, fold: str | None, id: str | None, columns: list[str] | None) -> str | GivenPool:
    """What `--pool` names."""
    if pool in SWITCHES:
        if fold is not None:
            raise BadInput("--fold goes with --pool TABLE, a table of out-of-fold predictions")
        return pool
    from uncork.schema.pool import Pool

    if Path(pool).suffix not in (".csv", ".parquet"):
        raise BadInput(f"--pool {pool}: give auto, head, off, or a table, .csv or .parquet")
    return Pool.from_predictions(pool, fold, ids=id, columns=columns)


def treat(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    remedies: Annotated[str | None, typer.Option(help="Remedies to try, a,b,c. Default: those worth trying.")] = None,
    drop: Annotated[
        str | None, typer.Option(help="For drop-examples: a CSV or Parquet table whose first column has ids of train.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="For relabel: a table with columns id and label, such as the run's relabel.csv, corrected."),
    ] = None,
    out_of_fold: Annotated[
        str | None,
        typer.Option(help="For drop-examples: a table of out-of-fold probabilities, a row per row of train."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try nothing: show what would be tried, and its price.")
    ] = False,
    price: Annotated[
        str | None, typer.Option(help="label=0.3,gpu-hour=2: rank investments by what they gain per money.")
    ] = None,
    budget: Budget = "10m",
    backend: Backend = "loky",
    address: Address = None,
    quiet: Quiet = False,
) -> None:
    """Apply the remedies worth trying, keep what helps, and prove it once on test."""
    from uncork import treat as apply
    from uncork.data.tables import missing_column, read_table

    evidence: dict[str, object] = {}
    if drop is not None:
        evidence["drop"] = read_table(drop).column(0).to_pylist()
    if labels is not None:
        table = read_table(labels, texts=("id", "label"))
        for name in ("id", "label"):
            if name not in table.column_names:
                raise missing_column(labels, name, table.column_names)
        evidence["labels"] = dict(zip(*(table.column(name).to_pylist() for name in ("id", "label")), strict=True))
    if out_of_fold is not None:
        table = read_table(out_of_fold)
        evidence["out_of_fold"] = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    report = apply(
        run,
        budget=budget,
        remedies=listed(remedies),
        dry_run=dry_run,
        price=price,
        evidence=evidence,
        backend=backend,
        address=address,
        progress=progress(quiet),
    )
    show(report, quiet)


def report(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a model card of Hugging Face there, too: README.md.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Show a run again, and write its report.html anew."""
    from uncork.gather.store import write_atomically
    from uncork.run.folder import RunFolder

    if card is not None and card.exists():
        raise BadInput(f"{card} is there already, and may hold more than figures: give another name, or delete it")
    folder = RunFolder.at(run)
    shown = folder.save(folder.load())
    if card is not None:
        write_atomically(card, shown.model_card())
    show(shown, quiet)
