"""A run that is there already: its folder, its report, and its subject again."""

from __future__ import annotations

from pathlib import Path

from uncork.gather._contract import Context, gatherers
from uncork.run.admit import admit
from uncork.run.executor import Executor
from uncork.run.folder import RunFolder
from uncork.run.identity import identity
from uncork.run.progress import Progress, Silent, working
from uncork.run.source import subject_of
from uncork.schema.artifacts import Fingerprints
from uncork.schema.errors import BadInput
from uncork.schema.report import Report
from uncork.schema.subject import Subject


def found(given: Report | str | Path, subject: Subject | None) -> tuple[RunFolder, Report, Subject]:
    """The run's folder, its report, and its subject: given, still in memory, or made again from its source.

    Raises BadInput where there is no run.
    """
    if isinstance(given, Report):
        if given.folder is None:
            raise BadInput("this report belongs to no run folder: give the one that audit returned, or its folder")
        folder, report = RunFolder(Path(given.folder)), given
    else:
        folder = RunFolder.at(given)
        report = folder.load()
    return folder, report, subject or report.live or subject_of(folder.about()["source"], folder.path)


def reopened(
    given: Report | str | Path, subject: Subject | None, progress: Progress | None = None
) -> tuple[RunFolder, Report, Context]:
    """The run's folder, its report, and its subject as it was audited.

    What the subject has beyond the audited one, such as a threat declared since, is let pass. Raises BadInput where
    there is no run, or where what it was audited with is another by now.
    """
    folder, report, subject = found(given, subject)
    about = folder.about()
    described = bool(about["describe_only"])
    context = admit(subject, describe_only=described, seed=int(about["seed"]), fan=Executor()).context
    reader = gatherers()[Fingerprints]
    with working(progress or Silent(), Fingerprints().label(), reader.price(Fingerprints(), context)):
        prints = reader.gather(Fingerprints(), context)
    now, was = identity(context, prints, {}, describe_only=described)["fingerprints"], about["fingerprints"]
    changed = [name for name in now if name in was and now[name] != was[name]]
    if changed:
        verb = "differs" if len(changed) == 1 else "differ"
        raise BadInput(
            f"{folder.path} holds the run of another subject ({', '.join(changed)} {verb} by now): audit it again into "
            "another folder with --out"
        )
    return folder, report, context
