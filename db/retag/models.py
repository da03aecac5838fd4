"""The tables of re-tagging runs: the run, its chunks, and what it changed."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId, partial_index


class RunState(StrEnum):
    """Where a run stands."""

    PLANNED = "planned"  # written down; nobody has published any of it yet
    RUNNING = "running"  # being published, or waiting for its last outcomes
    PAUSED = "paused"  # a person or a guard stopped it; last_error says why a guard did
    CANCELLED = "cancelled"  # ended early; what was published is still tagged
    FINISHED = "finished"  # every product it selected has its outcome


# Whoever publishes a run says so this often at least.
LEASE = timedelta(seconds=15)
OPEN = (RunState.PLANNED, RunState.RUNNING, RunState.PAUSED)
_OPEN_ONLY = "state IN ({})".format(", ".join(f"'{state.value}'" for state in OPEN))


class RetagRun(Base):
    """One run over the ledger, in the order of product ids.

    The cursor is the last id that was looked at. Chunks are accepted and the cursor is moved in
    one transaction, so that a run which is killed at any point goes on where it stood.
    """

    __tablename__ = "retag_runs"
    __table_args__ = (
        CheckConstraint(
            "state IN ({})".format(", ".join(f"'{state.value}'" for state in RunState)),
            name="state",
        ),
        # Two open runs of one selection cannot exist, whoever starts them, and however.
        partial_index(
            "uq_retag_runs_open_selection", "selection_key", where=_OPEN_ONLY, unique=True
        ),
        Index("ix_retag_runs_state", "state"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    selection: Mapped[dict[str, Any]] = mapped_column(JSON)
    selection_key: Mapped[str] = mapped_column(String(255))  # equal for equal selections
    state: Mapped[str] = mapped_column(String(16))
    model_version: Mapped[str] = mapped_column(String(64))  # the one that served at the start
    requested_by: Mapped[str] = mapped_column(String(64))
    cursor: Mapped[str] = mapped_column(String(128), default="")
    products: Mapped[int]  # in the ledger when it was planned, about
    looked: Mapped[int] = mapped_column(default=0)  # products up to the cursor
    published: Mapped[int] = mapped_column(default=0)  # of these selected, and published
    # How many products of each label were published, before the run changed any.
    labels_before: Mapped[dict[str, int]] = mapped_column(JSON, default=dict)
    # More changed labels than this share pause the run for a person to look at them.
    change_share_max: Mapped[float]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    # One publisher at a time: who, and until when unless it says so again.
    leased_by: Mapped[str | None] = mapped_column(String(128))
    leased_until: Mapped[datetime | None]
    # The pace, for the time left: done at the last measurement, and items per second since.
    paced_at: Mapped[datetime | None]
    paced_done: Mapped[int] = mapped_column(default=0)
    items_per_s: Mapped[float | None]
    last_error: Mapped[str | None] = mapped_column(String(2000))


class RetagChunk(Base):
    """What became of one message of a run; its counts are of products with a final outcome."""

    __tablename__ = "retag_chunks"
    __table_args__ = (Index("ix_retag_chunks_run_id", "run_id"),)

    message_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("retag_runs.id"))
    size: Mapped[int]
    kept: Mapped[int] = mapped_column(default=0)  # tagged, and the label is the same
    changed: Mapped[int] = mapped_column(default=0)  # tagged with another label than before
    skipped: Mapped[int] = mapped_column(default=0)  # same picture, same model: nothing to do
    failed: Mapped[int] = mapped_column(default=0)


class RetagChange(Base):
    """A product that a run changed, or failed; those that kept their label have no row."""

    __tablename__ = "retag_changes"
    __table_args__ = (
        Index(
            "ix_retag_changes_cell", "run_id", "from_label", "to_label", "reason_code", "confidence"
        ),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("retag_runs.id"), primary_key=True)
    # No foreign key: what a run did stays true of a product that is deleted later.
    product_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    from_label: Mapped[str | None] = mapped_column(String(64))  # none: never tagged before
    to_label: Mapped[str | None] = mapped_column(String(64))  # none: failed
    reason_code: Mapped[str | None] = mapped_column(String(32))  # why it failed
    confidence: Mapped[float | None]  # the new model's, in to_label
    from_tagging_id: Mapped[int | None] = mapped_column(BigId)
    to_tagging_id: Mapped[int | None] = mapped_column(BigId)
    person_label: Mapped[str | None] = mapped_column(String(64))  # in force all the same
    flagged: Mapped[bool]
