"""The ledger's tables: products, taggings with their pictures, dead letters, signs of life."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from catalog.networks import NetworkName
from catalog.status import ProductStatus
from db.base import Base, BigId


class Product(Base):
    """The ledger: one row per product, whatever became of it."""

    __tablename__ = "products"
    __table_args__ = (
        CheckConstraint(
            "status IN ({})".format(", ".join(f"'{status.value}'" for status in ProductStatus)),
            name="status",
        ),
        Index("ix_products_status_queued_at", "status", "queued_at"),
    )

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    image_uri: Mapped[str] = mapped_column(String(2048))
    declared_label: Mapped[str | None] = mapped_column(String(64))
    # What a person said of the picture; in force while the status is reviewed.
    reviewed_label: Mapped[str | None] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    # Which acceptance the row speaks of, by its message's id. An outcome is owed as long as it
    # differs from settled_message_id.
    message_id: Mapped[str | None] = mapped_column(String(64))
    settled_message_id: Mapped[str | None] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(16), default="ingest")
    # When a message was last published for what is owed; none: nothing is in the queue.
    published_at: Mapped[datetime | None] = mapped_column(index=True)
    attempts: Mapped[int] = mapped_column(default=0)  # begun since the product was accepted
    # The open attempt: the child at work on it, and since when.
    attempt_by: Mapped[str | None] = mapped_column(String(64))
    attempt_started_at: Mapped[datetime | None]
    crashes: Mapped[int] = mapped_column(default=0)  # attempts that ended with their process
    last_reason_code: Mapped[str | None] = mapped_column(String(32))
    next_attempt_at: Mapped[datetime | None] = mapped_column(index=True)
    # No foreign key: taggings point to products, and a ring of two would need deferred checks.
    current_tagging_id: Mapped[int | None] = mapped_column(BigId)
    # The model that looked last, and when; its tagging is not current where a person decided.
    last_model_version: Mapped[str | None] = mapped_column(String(64))
    last_tagged_at: Mapped[datetime | None]
    # What tells that the picture has not changed since: see catalog/fetching/validators.py.
    image_validator: Mapped[str | None] = mapped_column(String(512))
    created_at: Mapped[datetime]
    queued_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Model(Base):
    """Every model version that has tagged something."""

    __tablename__ = "models"

    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[list[str]] = mapped_column(JSON)  # the order of every confidences column
    # What the labels are ids of: see catalog/taxonomy/. Written once, as the taggings are.
    taxonomy: Mapped[dict[str, Any]] = mapped_column(JSON)
    taxonomy_name: Mapped[str] = mapped_column(String(64))
    taxonomy_version: Mapped[int]
    manifest: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[str | None] = mapped_column(String(40))  # ISO 8601 UTC: newer is greater
    first_used_at: Mapped[datetime]


class Tagging(Base):
    """The model's word on one picture of one product; written once, never changed."""

    __tablename__ = "taggings"
    __table_args__ = (
        UniqueConstraint("product_id", "image_sha256", "model_version"),
        CheckConstraint("confidence >= 0 AND confidence <= 1", name="confidence"),
        Index("ix_taggings_flagged_confidence", "flagged", "confidence", "id"),
        Index("ix_taggings_tagged_at", "tagged_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"))
    image_sha256: Mapped[str] = mapped_column(String(64))
    model_version: Mapped[str] = mapped_column(ForeignKey("models.version"))
    # Which network of the model's bundle spoke.
    network: Mapped[str] = mapped_column(String(8), default=NetworkName.REDUCED.value)
    label: Mapped[str] = mapped_column(String(64))
    confidence: Mapped[float]
    confidences: Mapped[list[float]] = mapped_column(JSON)
    runner_up: Mapped[str] = mapped_column(String(64))
    runner_up_confidence: Mapped[float]
    out_of_taxonomy_score: Mapped[float]
    # That the confidences were made at, where the picture is a photo; none: it came reduced.
    photo_temperature: Mapped[float | None]
    # The label or the parent of it that is right with the promised precision; none: neither, or
    # tagged before parents could be.
    certain_at: Mapped[str | None] = mapped_column(String(64))
    flagged: Mapped[bool]
    reasons: Mapped[list[str]] = mapped_column(JSON)
    tagged_at: Mapped[datetime]


class Thumbnail(Base):
    """The pictures of a tagging; apart from it, so that scans of taggings stay light."""

    __tablename__ = "thumbnails"

    tagging_id: Mapped[int] = mapped_column(ForeignKey("taggings.id"), primary_key=True)
    overlay_jpeg: Mapped[bytes]
    class_map: Mapped[bytes]  # float16 (height, width, classes), row-major
    class_map_height: Mapped[int]
    class_map_width: Mapped[int]
    embedding: Mapped[bytes]  # float16 (d,)


class FailureRow(Base):
    """Dead letters: what could not be tagged, and why."""

    __tablename__ = "failures"

    # The product's id, or `payload:<sha256>` for a message that names no product.
    subject: Mapped[str] = mapped_column(String(128), primary_key=True)
    product_id: Mapped[str | None] = mapped_column(ForeignKey("products.id"))
    reason_code: Mapped[str] = mapped_column(String(32), index=True)
    detail: Mapped[str] = mapped_column(String(2000))
    payload: Mapped[str | None] = mapped_column(String(4000))
    attempts: Mapped[int]
    failed_at: Mapped[datetime]


class KeptCount(Base):
    """Counts that triggers keep: see db/ledger/counts.py. The sum over the shards is the count."""

    __tablename__ = "kept_counts"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    # The database backend that added it; 0: gathered, and SQLite's only one.
    shard: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(BigInteger)


class Heartbeat(Base):
    """Signs of life that outlive their process: of parts that did their work, and of children."""

    __tablename__ = "heartbeats"

    # Such as ingest@host, or a child's name.
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), index=True)  # ingest, bulk, reconciler or child
    beat_at: Mapped[datetime]
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
