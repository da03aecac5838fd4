"""The tables of the model registry: bundles, who serves, who was refused, what shadows said."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId


class Role(StrEnum):
    """What a bundle does beside others."""

    SERVING = "serving"  # its taggings are current
    CANARY = "canary"  # serves in place of the serving one, on its share of the products
    SHADOW = "shadow"  # looks at its share too; what it says changes nothing


class Change(StrEnum):
    """How a role came to its bundle."""

    PROMOTE = "promote"  # this bundle serves from now on
    ROLLBACK = "rollback"  # the one that served before it does again
    TRY = "try"  # a canary or a shadow begins
    RETIRE = "retire"  # a canary or a shadow ends


class RegisteredBundle(Base):
    """A bundle in the store; its sha256 is its manifest's, which holds those of all its files."""

    __tablename__ = "bundles"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), index=True)
    deciding_sha256: Mapped[str] = mapped_column(String(64))  # equal: every tagging would be equal
    created_at: Mapped[str] = mapped_column(String(40))  # ISO 8601, as in the manifest
    metrics: Mapped[dict[str, Any]] = mapped_column(JSON)
    added_at: Mapped[datetime]
    added_by: Mapped[str] = mapped_column(String(64))


class Assignment(Base):
    """Who got which role when: only ever added to; a role's newest row is in force."""

    __tablename__ = "model_assignments"
    __table_args__ = (
        CheckConstraint("role IN ('serving', 'canary', 'shadow')", name="role"),
        CheckConstraint("change IN ('promote', 'rollback', 'try', 'retire')", name="change"),
        CheckConstraint("share >= 0 AND share <= 1", name="share"),
        Index("ix_model_assignments_role", "role", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    role: Mapped[str] = mapped_column(String(8))
    change: Mapped[str] = mapped_column(String(8))
    # None: for serving the bundle that the settings name, for the others nobody.
    sha256: Mapped[str | None] = mapped_column(ForeignKey("bundles.sha256"))
    from_sha256: Mapped[str | None] = mapped_column(String(64))
    share: Mapped[float]  # of the products, 0-1
    forced: Mapped[bool]  # although the evidence spoke against it
    evidence: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    assigned_at: Mapped[datetime]
    assigned_by: Mapped[str] = mapped_column(String(64))


class BundleRefusal(Base):
    """A bundle that a worker should use and does not; the row goes when it can."""

    __tablename__ = "bundle_refusals"

    worker: Mapped[str] = mapped_column(String(128), primary_key=True)  # such as ingest@host
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    reason: Mapped[str] = mapped_column(String(2000))
    refused_at: Mapped[datetime]


class ShadowTagging(Base):
    """What a shadow said of one picture of one product; nothing refers to it."""

    __tablename__ = "shadow_taggings"
    __table_args__ = (Index("ix_shadow_taggings_model_version", "model_version"),)

    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"), primary_key=True)
    image_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_version: Mapped[str] = mapped_column(ForeignKey("models.version"), primary_key=True)
    label: Mapped[str] = mapped_column(String(64))
    confidence: Mapped[float]
    out_of_taxonomy_score: Mapped[float]
    flagged: Mapped[bool]
    reasons: Mapped[list[str]] = mapped_column(JSON)
    tagged_at: Mapped[datetime]
