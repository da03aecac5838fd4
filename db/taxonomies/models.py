"""The tables of taxonomies in force: which, since when, and what earlier labels are in it."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId


class Adoption(Base):
    """A taxonomy that came into force; only ever added to, the newest is."""

    __tablename__ = "taxonomy_adoptions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    adopted_at: Mapped[datetime]
    adopted_by: Mapped[str] = mapped_column(String(64))


class MovedLabel(Base):
    """What a label of another taxonomy is in the one in force; without a row, what it was.

    in_force is none for what was split or removed: people are asked again, and models look again.
    `not_in_taxonomy` stands here too, where a category was added since.
    """

    __tablename__ = "moved_labels"

    taxonomy_name: Mapped[str] = mapped_column(String(64), primary_key=True)
    taxonomy_version: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    in_force: Mapped[str | None] = mapped_column(String(64))
