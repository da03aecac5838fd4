"""The programs that send jobs and read results, and their tokens."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, BigId


class Scope(StrEnum):
    """What a service may do."""

    JOBS = "jobs"  # hand in products, remove them
    RESULTS = "results"  # read what became of them


class Service(Base):
    """A program; its row stays when it is revoked, as what it handed in refers to it."""

    __tablename__ = "services"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ServiceToken(Base):
    """A token, found by the SHA-256 of its 256 random bits, which need no slow hash."""

    __tablename__ = "service_tokens"

    token_sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), index=True)
    created_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]  # revoked, or replaced by a newer one


class AcceptedRequest(Base):
    """A request that named a key of its own: the same one again is answered as it was."""

    __tablename__ = "accepted_requests"

    service_id: Mapped[int] = mapped_column(ForeignKey("services.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    body_sha256: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    accepted_at: Mapped[datetime] = mapped_column(index=True)
