"""The page as people use it: a real server, a real Chromium, a signed-in reviewer."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from sqlalchemy import select, update

from db.engine import reading, sessions
from db.ledger.models import Thumbnail
from db.review import reviewers
from db.review.models import CredentialKind, Review
from review.desk import Desk
from tests.desk import flag_many, person
from tests.review.chromium import launch
from tests.review.conftest import app_of, tag_photo, write_photo
from tests.review.server import serving

DESKTOP = {"width": 1280, "height": 800}
WAIT_S = 10.0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def url(desk: Desk, tmp_path: Path) -> Iterator[str]:
    """A desk with thirty photographed items."""
    photo = tmp_path / "photo.png"
    write_photo(photo)
    with sessions(desk.engine).begin() as session:
        flag_many(session, 30, desk.now())
        tag_photo(session, photo)
        session.execute(update(Thumbnail).values(overlay_jpeg=photo.read_bytes()))
        person(session, "Ada")
    with serving(app_of(desk)) as address:
        yield address


@pytest.fixture
def open_page(chromium: Browser, desk: Desk, url: str) -> Iterator[Callable[..., Page]]:
    """Sign in by a one-time link and open a page; at the end nothing forbidden has happened."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def make(path: str = "/", name: str = "Ada", **options: Any) -> Page:
        context = chromium.new_context(**{"viewport": DESKTOP} | options)
        context.set_default_timeout(WAIT_S * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.on("console", lambda line: complaints.append(line.text) if _csp(line.text) else None)
        page.on(
            "request",
            lambda request: (
                complaints.append(request.url) if not request.url.startswith(url) else None
            ),
        )
        sign_in(page, f"{url}/welcome/{link(desk, name)}")
        if path != "/":
            page.goto(url + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def sign_in(page: Page, address: str) -> None:
    """Follow a one-time link."""
    page.goto(address)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation")).to_be_visible()


def _csp(line: str) -> bool:
    return "Content Security Policy" in line or "Refused to" in line


def link(desk: Desk, name: str) -> str:
    with sessions(desk.engine).begin() as session:
        known = {each.name for each in reviewers.everyone(session)}
        owner = reviewers.named(session, name) if name in known else person(session, name)
        return reviewers.issue(session, owner, CredentialKind.LINK, desk.now())


def said(desk: Desk, count: int) -> list[tuple[str, str, str | None]]:
    """The audit as soon as it has that many rows: product, action, label."""
    deadline = time.monotonic() + WAIT_S
    while True:
        with reading(desk.engine)() as session:
            rows = session.scalars(select(Review).order_by(Review.id)).all()
            if len(rows) >= count:
                return [(row.product_id, row.action, row.label) for row in rows]
        assert time.monotonic() < deadline, f"expected {count} reviews, found {len(rows)}"
        time.sleep(0.02)


def shows(page: Page, product_id: str) -> None:
    expect(page.locator("#product")).to_have_text(product_id)
