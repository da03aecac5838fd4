"""Putting another taxonomy in force: nothing that a person decided is lost.

Taggings and the audit stay as they were written, under the taxonomy they were written under. What
their labels are now stands in `moved_labels`, which the view labels_in_force reads. The labels
that people gave are changed where one new label is clear; otherwise the item is asked again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import case, delete, func, insert, select, text, update
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from catalog.status import ProductStatus
from catalog.taxonomy.changes import ChangeKind, changes, mapped
from catalog.taxonomy.document import of_fields, to_fields
from catalog.taxonomy.model import Taxonomy
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from db.ledger.models import Model, Product
from db.ledger.taxonomies import taxonomy_in_force
from db.review.lessons import forget_all
from db.review.models import ReviewItem
from db.taxonomies.asking import ask_again
from db.taxonomies.models import Adoption, MovedLabel
from db.taxonomies.moves import Moves, moves

Known = dict[tuple[str, int], Taxonomy]


class AdoptionError(OperatorError):
    """A taxonomy that cannot come into force: says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What it did: labels that people gave, changed to another or asked again; machine_open:
    products whose machine's label is no category any more, which a re-tagging run looks at;
    silent: declared labels that named a category before and name none now, and of how many
    products."""

    changed: int
    asked_again: int
    machine_open: int
    silent: Mapping[str, int] = field(default_factory=dict)


def adopt(session: Session, new: Taxonomy, *, by: str, now: datetime) -> Adopted:
    """Put a taxonomy in force; the one that is in force already changes nothing.

    Raises:
        AdoptionError: it is older than the one in force, of the same version with other content,
            or says what became of a version that is not in force.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE taxonomy_adoptions IN EXCLUSIVE MODE"))
    old = taxonomy_in_force(session)
    if to_fields(old) == to_fields(new):
        return Adopted(changed=0, asked_again=0, machine_open=0)
    _require_later(old, new)
    if session.scalar(select(func.count()).select_from(Adoption)) == 0:
        _write(session, old, by, now)
    _write(session, new, by, now)
    step: dict[str, str | None] = dict(mapped(old, new))
    if any(each.kind is ChangeKind.ADDED for each in changes(old, new)):
        step[NOT_IN_TAXONOMY] = None
    _move(session, _known(session), new, step)
    moved = {label: target for label, target in step.items() if target != label}
    return replace(_apply(session, moved, now), silent=_silent(session, old, new))


def _require_later(old: Taxonomy, new: Taxonomy) -> None:
    if new.name == old.name and new.version <= old.version:
        raise AdoptionError(
            f"Expected a version after {old.title}, which is in force, found {new.title}. Count "
            "its version up."
        )
    replaces = new.replaces
    if replaces is not None and (new.name != old.name or replaces.version != old.version):
        raise AdoptionError(
            f"Expected under `replaces` what became of {old.title}, which is in force, found "
            f"version {replaces.version}. Draft it with `tagger taxonomy diff --draft`."
        )


def _write(session: Session, taxonomy: Taxonomy, by: str, now: datetime) -> None:
    session.add(
        Adoption(
            name=taxonomy.name,
            version=taxonomy.version,
            document=to_fields(taxonomy),
            adopted_at=now,
            adopted_by=by[:64],
        )
    )
    session.flush()


def _known(session: Session) -> Known:
    """Every taxonomy that a tagging or a review may be of."""
    documents = [
        *session.scalars(select(Model.taxonomy)),
        *session.scalars(select(Adoption.document)),
    ]
    found = (of_fields(each) for each in documents)
    return {(each.name, each.version): each for each in found}


def _move(session: Session, known: Known, new: Taxonomy, step: Moves) -> None:
    """One step further for the labels of every taxonomy."""
    rows = []
    for (name, version), taxonomy in known.items():
        if (name, version) == (new.name, new.version):
            continue
        before = moves(session, name, version)
        for label in (*taxonomy.ids, NOT_IN_TAXONOMY):
            was = before.get(label, label)
            target = None if was is None else step.get(was, _kept(new, was))
            if target != label:
                rows.append(
                    {
                        "taxonomy_name": name,
                        "taxonomy_version": version,
                        "label": label,
                        "in_force": target,
                    }
                )
    session.execute(delete(MovedLabel))
    if rows:
        session.execute(insert(MovedLabel), rows)


def _kept(new: Taxonomy, label: str) -> str | None:
    return label if label in (*new.ids, NOT_IN_TAXONOMY) else None


def _apply(session: Session, moved: Moves, now: datetime) -> Adopted:
    """Change the labels that people gave, and ask where none is clear."""
    clear = {label: target for label, target in moved.items() if target is not None}
    unclear = [label for label, target in moved.items() if target is None]
    changed = 0
    reviewed = Product.status == ProductStatus.REVIEWED
    # First, as a clear target may be the id of a category that was split.
    asked = ask_again(session, unclear, now)
    if clear:
        for column, condition in (
            (Product.reviewed_label, reviewed & Product.reviewed_label.in_(clear)),
            (ReviewItem.label, ReviewItem.label.in_(clear)),
        ):
            result = session.execute(
                update(column.class_)
                .where(condition)
                .values({column.key: case(clear, value=column, else_=column)})
                .execution_options(synchronize_session=False)
            )
            changed = changed or int(getattr(result, "rowcount", 0))
    forget_all(session)
    session.expire_all()
    return Adopted(changed=changed, asked_again=asked, machine_open=_machine_open(session))


def _silent(session: Session, old: Taxonomy, new: Taxonomy) -> dict[str, int]:
    """Declared labels that only the old taxonomy knows, the most frequent first.

    They are kept, and conflict with whatever a model says, until an alias makes them known.
    """
    rows = session.execute(
        select(Product.declared_label, func.count()).group_by(Product.declared_label)
    )
    found = {
        label: count
        for label, count in rows
        if label is not None and old.find(label) is not None and new.find(label) is None
    }
    return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _machine_open(session: Session) -> int:
    query = "SELECT count(*) FROM labels_in_force WHERE label IS NULL AND said_by = 'machine'"
    return int(session.scalar(text(query)) or 0)
