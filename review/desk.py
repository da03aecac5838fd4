"""What one server process of the review desk has at hand."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fastapi import Request
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.engine import reading, sessions
from review.limits import Limiter, Rates
from review.photos import Photos
from review.picture_pool import PicturePool
from review.similar import ReviewedIndex

ARGON2_AT_ONCE = 2  # each verification takes 64 MiB


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Desk:
    """The server's parts; one for each process, shared by all its threads.

    names: what the desk is called behind its proxy with TLS; none on the machine itself.
    backlog_max: unfinished products beyond which programs hand in no more; chunk_size: of their
    jobs in one bulk message.
    """

    engine: Engine
    photos: Photos
    second_share: float = 0.05
    names: tuple[str, ...] = ()
    backlog_max: int = 500_000
    chunk_size: int = 128
    rates: Rates = field(default_factory=Rates)
    now: Callable[[], datetime] = _now
    similar: ReviewedIndex = field(default_factory=ReviewedIndex)
    picture_pool: PicturePool = field(default_factory=PicturePool)
    verified_tokens: dict[str, str] = field(default_factory=dict)  # digest: selector

    def __post_init__(self) -> None:
        self._reading = reading(self.engine)
        self._writing = sessions(self.engine)
        self.verifying = threading.BoundedSemaphore(ARGON2_AT_ONCE)
        self.api_limit = Limiter(self.rates.api)
        self.picture_limit = Limiter(self.rates.pictures)
        self.service_limit = Limiter(self.rates.services)
        self.sign_in_limit = Limiter(self.rates.sign_in)
        self.sign_in_limit_all = Limiter(self.rates.sign_in_all)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads."""
        with self._reading() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction, committed when the block ends without an error."""
        with self._writing.begin() as session:
            yield session


def desk_of(request: Request) -> Desk:
    """The desk that the app was made for."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk
