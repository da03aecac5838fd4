"""Starting, resuming and listing runs, for the command line and the schedule."""

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from catalog.settings import Settings
from db.engine import reading, sessions
from db.ledger.taxonomies import taxonomies_of, taxonomy_in_force
from db.retag import runs as retag_runs
from db.retag.models import RetagRun, RunState
from db.retag.progress import Progress, progress
from db.retag.selection import Selection, SelectionError
from worker.serving import serving_manifest


def start_run(engine: Engine, chosen: Settings, selection: Selection, who: str) -> int:
    """Write a run down, to be published by whoever comes first; return its id.

    Raises:
        RunError: one of the same selection is open.
        SelectionError: no model knows one of the labels.
        BundleError: there is no model to tag with.
    """
    with sessions(engine).begin() as session:
        selection = with_ids(session, selection)
        run = retag_runs.plan(
            session,
            selection,
            datetime.now(UTC),
            model_version=serving_manifest(session, chosen).model_version,
            who=who,
            change_share_max=chosen.retag_change_share_max,
        )
        return run.id


def resume_run(engine: Engine, chosen: Settings, run_id: int, *, any_change: bool) -> None:
    """Let a paused run go on, with the model that serves now.

    Raises:
        RunError: it is not paused.
        BundleError: there is no model to tag with.
    """
    with sessions(engine).begin() as session:
        run = retag_runs.move(session, run_id, RunState.RUNNING, allowed=(RunState.PAUSED,))
        run.model_version = serving_manifest(session, chosen).model_version
        if any_change:
            run.change_share_max = 1.0


def progress_of(engine: Engine, run_id: int) -> Progress:
    """How far a run is.

    Raises:
        RunError: there is no such run.
    """
    with reading(engine)() as session:
        return progress(session, retag_runs.find(session, run_id), datetime.now(UTC))


def progress_of_newest(engine: Engine, limit: int) -> list[Progress]:
    """The newest first."""
    now = datetime.now(UTC)
    with reading(engine)() as session:
        found: list[RetagRun] = retag_runs.newest_runs(session, limit)
        return [progress(session, run, now) for run in found]


def with_ids(session: Session, selection: Selection) -> Selection:
    """A selection whose labels are ids, whatever they were called; a parent is all below it.

    A mistyped label would make a run over nothing, and take a walk over the ledger to say so.
    """
    taxonomies = [taxonomy_in_force(session), *taxonomies_of(session).values()]
    found: dict[str, tuple[str, ...]] = {}
    for label in selection.labels:
        meant = (each.below(id_) for each in taxonomies if (id_ := each.find(label)) is not None)
        found[label] = next(meant, ())
    if unknown := sorted(label for label, ids in found.items() if not ids):
        known = sorted({id_ for each in taxonomies for id_ in each.ids})
        raise SelectionError(
            f"Expected labels that a model gives ({', '.join(known)}), found "
            f"{', '.join(unknown)}. Correct them."
        )
    return replace(selection, labels=tuple(id_ for ids in found.values() for id_ in ids))
