"""The tables of the review desk: its queue, its audit, and the people who may sit at it."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId, partial_index


class Role(StrEnum):
    """What a reviewer may do."""

    REVIEWER = "reviewer"  # decides items, sees the dashboard
    LEAD = "lead"  # also settles disputes and reads the whole audit


class WaitsFor(StrEnum):
    """Who may take an item of the queue."""

    REVIEWER = "reviewer"  # any reviewer; from the second round on nobody who judged it before
    LEAD = "lead"  # two people disagree, a lead settles it
    NOBODY = "nobody"  # decided


class Action(StrEnum):
    """What a person did with an item."""

    ACCEPT = "accept"  # the machine's label is right
    CORRECT = "correct"  # another label of the taxonomy is right
    NOT_IN_TAXONOMY = "not_in_taxonomy"  # the product belongs to none of the classes
    BAD_IMAGE = "bad_image"  # nothing can be said from this picture
    SKIP = "skip"  # somebody else should decide
    UNDO = "undo"  # takes back the review that undoes_id names


class Channel(StrEnum):
    """Where a decision was made."""

    PAGE = "page"
    GRID = "grid"  # together with look-alikes
    API = "api"
    TERMINAL = "terminal"


class CredentialKind(StrEnum):
    """What a secret lets its owner do."""

    TOKEN = "token"  # noqa: S105 - signs in and calls the API, until it is revoked
    LINK = "link"  # signs in once


class Reviewer(Base):
    """A person who may decide; rows stay, as the audit refers to them."""

    __tablename__ = "reviewers"
    __table_args__ = (CheckConstraint("role IN ('reviewer', 'lead')", name="role"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime]
    disabled_at: Mapped[datetime | None]


class Credential(Base):
    """A secret's argon2 hash; the selector finds the row and is no secret."""

    __tablename__ = "reviewer_credentials"
    __table_args__ = (CheckConstraint("kind IN ('token', 'link')", name="kind"),)

    selector: Mapped[str] = mapped_column(String(16), primary_key=True)
    reviewer_id: Mapped[int] = mapped_column(ForeignKey("reviewers.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    secret_hash: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]  # revoked, or a link that was used


class DeskSession(Base):
    """A signed-in browser, found by the SHA-256 of the 256 random bits in its cookie."""

    __tablename__ = "review_sessions"

    cookie_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    reviewer_id: Mapped[int] = mapped_column(ForeignKey("reviewers.id"), index=True)
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class ReviewItem(Base):
    """The queue: one row for each product a person should look at, or has looked at.

    Filters and orders stand here too, so that a page of a queue of any length is one index scan.
    The lease stands in the row it guards: taking it is a single write.
    """

    __tablename__ = "review_queue"
    __table_args__ = (
        CheckConstraint("waits_for IN ('reviewer', 'lead', 'nobody')", name="waits_for"),
        Index("ix_review_queue_confidence", "waits_for", "confidence", "tagging_id"),
        Index("ix_review_queue_tagged_at", "waits_for", "tagged_at", "tagging_id"),
        Index("ix_review_queue_value", "waits_for", "value", "tagging_id"),
        Index("ix_review_queue_label", "waits_for", "label", "confidence", "tagging_id"),
        Index("ix_review_queue_bucket", "bucket", "waits_for"),
        partial_index("ix_review_queue_hint_from", "hint_from", where="hint_from IS NOT NULL"),
        # Counting reads this index alone.
        Index(
            "ix_review_queue_counts",
            *("waits_for", "reasons", "label", "model_version", "round", "tagged_at"),
        ),
    )

    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"), primary_key=True)
    tagging_id: Mapped[int] = mapped_column(ForeignKey("taggings.id"), unique=True)
    waits_for: Mapped[str] = mapped_column(String(8))
    round: Mapped[int]  # 1: nobody has judged it, 2: a second opinion, 3: a dispute
    version: Mapped[int]  # grows with every change; the ETag that decisions must match
    leased_by: Mapped[int | None] = mapped_column(ForeignKey("reviewers.id"), index=True)
    leased_until: Mapped[datetime | None]
    label: Mapped[str] = mapped_column(String(64))
    confidence: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(64))
    declared_label: Mapped[str | None] = mapped_column(String(64), index=True)
    reasons: Mapped[str] = mapped_column(String(255))  # " low_confidence poor_image "
    tagged_at: Mapped[datetime]
    value: Mapped[float]  # what can be learnt from it: see db/review/value.py
    bucket: Mapped[int]  # look-alikes share it
    embedding: Mapped[bytes]  # float16 (d,)
    # What people called a look-alike that the machine calls otherwise, and which it was.
    hint: Mapped[str | None] = mapped_column(String(64))
    hint_from: Mapped[int | None] = mapped_column(BigInteger)


class Lesson(Base):
    """What people called one of the items of a bucket: the newest few, for what arrives."""

    __tablename__ = "review_lessons"

    model_version: Mapped[str] = mapped_column(String(64), primary_key=True)
    network: Mapped[str] = mapped_column(String(16), primary_key=True)
    bucket: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Gone with the item: an embedding must not outlive a product that was removed.
    product_id: Mapped[str] = mapped_column(
        ForeignKey("review_queue.product_id", ondelete="CASCADE"), index=True
    )
    tagging_id: Mapped[int] = mapped_column(BigInteger, index=True)
    machine_label: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(64))
    embedding: Mapped[bytes]  # float16 (d,)


class Review(Base):
    """The audit: one row for each thing a person did. The database refuses UPDATE and DELETE."""

    __tablename__ = "reviews"
    __table_args__ = (
        CheckConstraint(
            "action IN ({})".format(", ".join(f"'{action.value}'" for action in Action)),
            name="action",
        ),
        CheckConstraint("(action = 'undo') = (undoes_id IS NOT NULL)", name="undo"),
        UniqueConstraint("undoes_id"),
        Index("ix_reviews_tagging_id_reviewer_id", "tagging_id", "reviewer_id"),
        Index("ix_reviews_reviewer_id_id", "reviewer_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    request_key: Mapped[str] = mapped_column(String(64), unique=True)
    product_id: Mapped[str] = mapped_column(ForeignKey("products.id"), index=True)
    tagging_id: Mapped[int] = mapped_column(ForeignKey("taggings.id"))
    reviewer_id: Mapped[int] = mapped_column(ForeignKey("reviewers.id"))
    action: Mapped[str] = mapped_column(String(16))
    label: Mapped[str | None] = mapped_column(String(64))  # none for skip and undo
    machine_label: Mapped[str] = mapped_column(String(64))
    machine_confidence: Mapped[float]
    model_version: Mapped[str] = mapped_column(String(64))
    image_sha256: Mapped[str] = mapped_column(String(64))
    round: Mapped[int]
    channel: Mapped[str] = mapped_column(String(8))
    step: Mapped[str] = mapped_column(String(64))  # decisions of one keystroke share it
    seconds: Mapped[float | None]  # from seeing the item to deciding
    decided_at: Mapped[datetime] = mapped_column(index=True)
    undoes_id: Mapped[int | None] = mapped_column(ForeignKey("reviews.id"))
    # The taxonomy that the label is of; none: that of the model.
    taxonomy_name: Mapped[str | None] = mapped_column(String(64))
    taxonomy_version: Mapped[int | None]
