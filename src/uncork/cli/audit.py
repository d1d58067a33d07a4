"""`uncork audit`, `uncork treat`, `uncork report`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from uncork.cli.shared import Budget, Out, Quiet, Seed, listed, progress, show
from uncork.schema.errors import BadInput


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
    metric: Annotated[
        str | None, typer.Option(help="With --predictions: error (default), accuracy, log-loss or auc.")
    ] = None,
    budget: Budget = "10m",
    out: Out = None,
    probes: Annotated[str | None, typer.Option(help="Probes to run, a,b,c. Default: all; see `uncork probes`.")] = None,
    describe_only: Annotated[
        bool, typer.Option("--describe-only", help="Describe on all of test; nothing can be treated afterwards.")
    ] = False,
    seed: Seed = 0,
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
        beside = {"--label": label, "--validation": validation, "--train": train, "--columns": columns}
        for option, given in {**beside, "--id": id, "--metric": metric}.items():
            if given is not None:
                raise BadInput(f"{option} goes with --predictions: a Subject says such things itself, in its file")
        source = {"kind": "file", "spec": subject}
    from uncork import audit as run

    report = run(
        subject_of(source, out or ""),
        budget=budget,
        out=out,
        probes=listed(probes),
        seed=seed,
        describe_only=describe_only,
        source=source,
        progress=progress(quiet),
    )
    show(report, quiet)


def treat(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    remedies: Annotated[str | None, typer.Option(help="Remedies to try, a,b,c. Default: those worth trying.")] = None,
    drop: Annotated[
        str | None, typer.Option(help="For drop-examples: a CSV or Parquet table whose first column has ids of train.")
    ] = None,
    out_of_fold: Annotated[
        str | None,
        typer.Option(help="For drop-examples: a table of out-of-fold probabilities, a row per row of train."),
    ] = None,
    budget: Budget = "10m",
    quiet: Quiet = False,
) -> None:
    """Apply the remedies worth trying, keep what helps, and prove it once on test."""
    from uncork import treat as apply
    from uncork.data.tables import read_table

    evidence: dict[str, object] = {}
    if drop is not None:
        evidence["drop"] = read_table(drop).column(0).to_pylist()
    if out_of_fold is not None:
        table = read_table(out_of_fold)
        evidence["out_of_fold"] = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    report = apply(run, budget=budget, remedies=listed(remedies), evidence=evidence, progress=progress(quiet))
    show(report, quiet)


def report(
    run: Annotated[str, typer.Argument(help="The folder of an audit, such as runs/demo.")],
    quiet: Quiet = False,
) -> None:
    """Show a run again, and write its report.html anew."""
    from uncork.run.folder import RunFolder

    folder = RunFolder.at(run)
    show(folder.save(folder.load()), quiet)
