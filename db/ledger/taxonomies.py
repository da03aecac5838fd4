"""The taxonomies of the models that have tagged something."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.taxonomy.document import of_fields
from catalog.taxonomy.files import shipped
from catalog.taxonomy.model import Taxonomy
from db.ledger.models import Model
from db.taxonomies.models import Adoption

DEFAULT = "fashion-mnist"


def taxonomy_of(session: Session, model_version: str) -> Taxonomy:
    """The taxonomy that a model's labels are of.

    Raises:
        sqlalchemy.exc.NoResultFound: no model of this version has tagged anything.
    """
    return read(session.execute(_document().where(Model.version == model_version)).scalar_one())


def taxonomies_of(session: Session) -> dict[str, Taxonomy]:
    """The taxonomies of all models, by version."""
    rows = session.execute(select(Model.version, Model.taxonomy))
    return {version: read(document) for version, document in rows}


def taxonomy_to_judge_by(session: Session, model_version: str) -> Taxonomy:
    """What people may say of a model's items: the taxonomy adopted last, or else the model's own.

    Raises:
        sqlalchemy.exc.NoResultFound: no model of this version has tagged anything.
    """
    return _adopted(session) or taxonomy_of(session, model_version)


def taxonomy_in_force(session: Session) -> Taxonomy:
    """The one that was adopted last; before any was, the newest model's, or else the default."""
    adopted = _adopted(session)
    if adopted is not None:
        return adopted
    newest = _document().order_by(Model.first_used_at.desc(), Model.version.desc()).limit(1)
    document = session.execute(newest).scalar_one_or_none()
    return shipped(DEFAULT) if document is None else read(document)


def read(document: Mapping[str, Any]) -> Taxonomy:
    """What a row holds; it was checked when it was written."""
    return of_fields(document)


def _adopted(session: Session) -> Taxonomy | None:
    statement = select(Adoption.document).order_by(Adoption.id.desc()).limit(1)
    document = session.execute(statement).scalar_one_or_none()
    return None if document is None else read(document)


def _document() -> Any:
    return select(Model.taxonomy)
