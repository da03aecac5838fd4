"""A running desk: the real app, a real database, photos from a real folder."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from catalog.fetching.files import FileSource
from catalog.images.decode import DecodeLimits
from db.engine import sessions
from db.ledger.models import Product, Tagging
from db.review import reviewers
from db.review.models import CredentialKind, Role
from review.access import COOKIE, CSRF_HEADER, csrf_of
from review.app import create_app
from review.desk import Desk
from review.limits import Rate, Rates
from review.photos import Photos
from tests.databases import migrated_sqlite

UNHURRIED = Rate(per_second=1e6, burst=10**6)
RATES = Rates(api=UNHURRIED, pictures=UNHURRIED, sign_in=UNHURRIED, sign_in_all=UNHURRIED)


@dataclass
class Clock:
    """The desk's clock, which a test may turn."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """Where the kind of database makes no difference."""
    engine = migrated_sqlite(f"sqlite:///{tmp_path / 'desk.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def make_desk(tmp_path: Path, clock: Clock) -> Callable[..., Desk]:
    photos = Photos(FileSource((tmp_path,), 10_000_000).fetch, DecodeLimits())

    def make(engine: Engine, rates: Rates = RATES, second_share: float = 0.0) -> Desk:
        return Desk(
            engine=engine, photos=photos, rates=rates, second_share=second_share,
            now=lambda: clock.now,
        )  # fmt: skip

    return make


@pytest.fixture
def desk(sqlite_engine: Engine, make_desk: Callable[..., Desk]) -> Desk:
    return make_desk(sqlite_engine)


@pytest.fixture
def visitor(desk: Desk) -> TestClient:
    """Somebody who is not signed in."""
    return TestClient(create_app(desk), follow_redirects=False)


def app_of(desk: Desk) -> FastAPI:
    """One app for each desk, as in a server."""
    known = desk.__dict__.get("app")
    if known is None:
        known = desk.__dict__["app"] = create_app(desk)
        known.openapi()  # FastAPI builds what it needs lazily, and not thread-safely
    assert isinstance(known, FastAPI)
    return known


def browser(desk: Desk, name: str = "Ada", role: Role = Role.REVIEWER) -> TestClient:
    """A signed-in browser that sends its page's CSRF token."""
    with sessions(desk.engine).begin() as session:
        known = {each.name: each for each in reviewers.everyone(session)}
        person = known.get(name) or reviewers.add(session, name, role, desk.now())
        cookie = reviewers.sign_in(session, person, desk.now())
    return TestClient(
        app_of(desk), cookies={COOKIE: cookie}, headers={CSRF_HEADER: csrf_of(cookie)},
        follow_redirects=False,
    )  # fmt: skip


def program(desk: Desk, name: str = "Bot", role: Role = Role.REVIEWER) -> TestClient:
    """A program with a token."""
    with sessions(desk.engine).begin() as session:
        person = reviewers.add(session, name, role, desk.now())
        token = reviewers.issue(session, person, CredentialKind.TOKEN, desk.now())
    return TestClient(app_of(desk), headers={"Authorization": f"Bearer {token}"})


def tag_photo(session: Session, path: Path) -> None:
    """Everything on the desk is the photo at this path, as it is there now."""
    session.execute(update(Product).values(image_uri=path.as_uri()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    session.execute(update(Tagging).values(image_sha256=sha256))


def write_photo(path: Path, width: int = 300, height: int = 400) -> None:
    """A dark garment on white."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    cv2.rectangle(
        pixels, (width // 4, height // 4), (3 * width // 4, 3 * height // 4), (60, 40, 30), -1
    )
    cv2.imwrite(str(path), pixels)
