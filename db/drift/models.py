"""The tables of drift: what came each day, in bins; what the nights found."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId


class DriftDay(Base):
    """A day (UTC) whose taggings were counted."""

    __tablename__ = "drift_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    items: Mapped[int] = mapped_column(BigId)
    counted_at: Mapped[datetime]


class DriftCount(Base):
    """How many items of a day are in one bin of one histogram."""

    __tablename__ = "drift_counts"

    day: Mapped[date] = mapped_column(primary_key=True)
    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(64), primary_key=True)
    measure: Mapped[str] = mapped_column(String(16), primary_key=True)
    bin: Mapped[str] = mapped_column(String(64), primary_key=True)
    items: Mapped[int] = mapped_column(BigId)


class DriftReference(Base):
    """What distances are measured from: the first pictures that a network of a model saw."""

    __tablename__ = "drift_references"

    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    network: Mapped[str] = mapped_column(String(8), primary_key=True)
    size: Mapped[int]
    sample: Mapped[bytes]  # float16 (size, d), row-major
    # Of the tenths of the sample's own distances; none as long as it grows.
    edges: Mapped[list[float] | None] = mapped_column(JSON(none_as_null=True))


class DriftNight(Base):
    """A day that was compared with the 28 before it."""

    __tablename__ = "drift_nights"

    day: Mapped[date] = mapped_column(primary_key=True)
    # The model that tagged most of the day: only its taggings are compared. None: nothing came.
    model_version: Mapped[str | None] = mapped_column(String(64))
    items: Mapped[int] = mapped_column(BigId)
    comparisons: Mapped[int]
    compared_at: Mapped[datetime]


class DriftFinding(Base):
    """What moved beyond chance."""

    __tablename__ = "drift_findings"

    day: Mapped[date] = mapped_column(primary_key=True)
    host: Mapped[str] = mapped_column(String(64), primary_key=True)
    measure: Mapped[str] = mapped_column(String(16), primary_key=True)
    items: Mapped[int] = mapped_column(BigId)
    items_before: Mapped[int] = mapped_column(BigId)
    moved: Mapped[float]  # the share of items that are in other bins than before
    p_adjusted: Mapped[float]  # by Holm's method, over all comparisons of the night
    changes: Mapped[list[dict[str, Any]]] = mapped_column(JSON)
