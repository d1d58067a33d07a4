"""`uncork audit`, `uncork treat`, `uncork report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from uncork.cli.shared import Address, Backend, Budget, Out, Quiet, Seed, listed, progress, show
from uncork.schema.errors import BadInput

if TYPE_CHECKING:
    from uncork.schema.given_pool import GivenPool

SWITCHES = ("auto", "head", "off")


def audit(
    subject: Annotated[
        str | None, typer.Argument(help="path/to/file.py:name or package.module:name of a Subject.")
    ] = None,
    predictions: Annotated[
        str | None, typer.Option(help="No model: a CSV or Parquet table of probabilities and labels (test).")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column of labels in the tables of predictions.")] = None,
    validation: Annotated[str | None, typer.Option(help="A table of predictions on validation.")] = None,
    train: Annotated[str | None, typer.Option(help="A table of predictions on train.")] = None,
    columns: Annotated[
        str | None, typer.Option(help="The columns of probabilities, a,b,c. Default: found by their sum.")
    ] = None,
    id: Annotated[str | None, typer.Option(help="The column of row ids in the tables of predictions.")] = None,
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
    metric: Annotated[
        str | None, typer.Option(help="With --predictions: error (default), accuracy, log-loss or auc.")
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

    if (subject is None) == (predictions is None):
        raise BadInput("give a subject, path/to/file.py:name, or a table, --predictions preds.csv --label y")
    if predictions is not None:
        if label is None:
            raise BadInput("--predictions needs --label, the column that holds the true classes")
        about: dict[str, Any] = {"test": predictions, "label": label, "validation": validation, "train": train}
        about |= {"columns": listed(columns), "id": id, "metric": metric or "error"}
        source = {"kind": "predictions", **about}
    else:
        beside = {"--label": label, "--validation": validation, "--train": train, "--metric": metric}
        if pool in SWITCHES:
            beside |= {"--columns": columns, "--id": id}
        for option, given in beside.items():
            if given is not None:
                raise BadInput(f"{option} goes with --predictions: a Subject says such things itself, in its file")
        source = {"kind": "file", "spec": subject}
    from uncork import audit as run

    report = run(
        subject_of(source, out or ""),
        budget=budget,
        out=out,
        probes=listed(probes),
        preview=preview,
        pool=brought(pool, fold, id, listed(columns)),
        relabelled=relabelled,
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
    quiet: Quiet = False,
) -> None:
    """Show a run again, and write its report.html anew."""
    from uncork.run.folder import RunFolder

    folder = RunFolder.at(run)
    show(folder.save(folder.load()), quiet)
