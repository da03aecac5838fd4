"""What labels are in the taxonomy in force."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from catalog.taxonomy.changes import mapped
from catalog.taxonomy.document import of_fields
from catalog.taxonomy.model import Taxonomy
from db.ledger.models import Model
from db.taxonomies.models import Adoption, MovedLabel
from db.upsert import insert

Moves = Mapping[str, str | None]


def moves(session: Session, name: str, version: int) -> Moves:
    """The labels of one taxonomy that are something else now, or nothing (None)."""
    rows = session.execute(
        select(MovedLabel.label, MovedLabel.in_force).where(
            MovedLabel.taxonomy_name == name, MovedLabel.taxonomy_version == version
        )
    )
    return {row[0]: row[1] for row in rows}


def moves_of_models(session: Session, versions: Sequence[str]) -> dict[str, Moves]:
    """The same for the taxonomy of each of these models."""
    if not versions:
        return {}
    rows = session.execute(
        select(Model.version, Model.taxonomy_name, Model.taxonomy_version).where(
            Model.version.in_(versions)
        )
    ).all()
    return {version: moves(session, name, number) for version, name, number in rows}


def now_called(moved: Moves, label: str) -> str | None:
    """What a label is in the taxonomy in force; None: split or removed."""
    return moved.get(label, label)


def as_called_now(session: Session, model_version: str, label: Any) -> Any:
    """A column of one model's labels, as they are called now; what is gone stays what it was."""
    moved = moves_of_models(session, [model_version]).get(model_version, {})
    clear = {before: after for before, after in moved.items() if after is not None}
    return case(clear, value=label, else_=label).label("label") if clear else label


def know_taxonomy(session: Session, taxonomy: Taxonomy) -> None:
    """Write what the labels of a new model's taxonomy are in the one in force."""
    adopted = session.scalar(select(Adoption).order_by(Adoption.id.desc()).limit(1))
    if adopted is None or moves(session, taxonomy.name, taxonomy.version):
        return
    rows = [
        {
            "taxonomy_name": taxonomy.name,
            "taxonomy_version": taxonomy.version,
            "label": label,
            "in_force": target,
        }
        for label, target in moved_into(taxonomy, of_fields(adopted.document)).items()
        if target != label
    ]
    if rows:
        session.execute(insert(session, MovedLabel).on_conflict_do_nothing(), rows)


def moved_into(old: Taxonomy, new: Taxonomy) -> Moves:
    """What each label of one taxonomy is in another, of which it may be the earlier or the later.

    Where the earlier one's label was merged or split, there is no way back from the later one.
    """
    if old.name != new.name or old.version <= new.version:
        return mapped(old, new)
    back: dict[str, list[str]] = {}
    for before, after in mapped(new, old).items():
        if after is not None:
            back.setdefault(after, []).append(before)
    return {label: back[label][0] if len(back.get(label, ())) == 1 else None for label in old.ids}
