"""Pictures of the review desk over the demo's own results: `tagger demo`, then

python -m tests.review.screenshots .tagger docs/review-desk.png [folder for all pages]
"""

import random
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import update
from sqlalchemy.orm import Session

from catalog.fetching.files import FileSource
from catalog.images.decode import DecodeLimits
from catalog.sample import write_pictures
from db import migrate
from db.engine import make_engine, sessions
from db.ledger.models import Product
from db.review import queue as review_queue
from db.review import reviewers
from db.review.decisions import Decision, decide
from db.review.leases import claim
from db.review.listing import entries
from db.review.models import Action, Channel, CredentialKind, Role
from review.app import create_app
from review.desk import Desk
from review.photos import Photos
from tests.review.chromium import launch
from tests.review.server import serving
from tests.taxonomies import LABELS

DESKTOP, PHONE = (1280, 800), (390, 844)


def main(home: Path, target: Path, folder: Path | None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        database = Path(temporary) / "catalog.db"
        with sqlite3.connect(home / "catalog.db") as source, sqlite3.connect(database) as copy:
            source.backup(copy)
        engine = make_engine(f"sqlite:///{database}")
        migrate.upgrade(engine)
        photos = {each.product_id: each for each in write_pictures(Path(temporary) / "photos")}
        with sessions(engine).begin() as session:
            review_queue.fill(session)
            for product_id, picture in photos.items():
                session.execute(
                    update(Product)
                    .where(Product.id == product_id)
                    .values(image_uri=picture.path.as_uri())
                )
            _morning(session, {key: each.label for key, each in photos.items()})
            links = [_link(session, "Lea", Role.LEAD), _link(session, "Cem", Role.REVIEWER)]
        fetch = FileSource((Path(temporary),), 10_000_000).fetch
        desk = Desk(engine=engine, photos=Photos(fetch, DecodeLimits()))
        with serving(create_app(desk)) as url, sync_playwright() as playwright:
            browser = launch(playwright)
            lead, state = (_sign_in(browser, f"{url}/welcome/{link}") for link in links)
            page = _open(browser, state, DESKTOP, "light")
            _desk(page, url, heat=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=target)
            if folder is not None:
                _all_pages(browser, lead, url, folder)
            browser.close()


def _all_pages(browser: Browser, state: dict[str, object], url: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        for name, size in (("desktop", DESKTOP), ("phone", PHONE)):
            page = _open(browser, state, size, scheme)
            _desk(page, url, heat=scheme == "dark")
            page.screenshot(path=folder / f"desk-{name}-{scheme}.png")
            page.keyboard.press("?")
            page.screenshot(path=folder / f"help-{name}-{scheme}.png")
            page.goto(f"{url}/grid")
            page.wait_for_selector(".tile img")
            page.wait_for_load_state("networkidle")
            page.screenshot(path=folder / f"grid-{name}-{scheme}.png")
            page.goto(f"{url}/dashboard")
            page.screenshot(path=folder / f"dashboard-{name}-{scheme}.png", full_page=True)
            page.goto(f"{url}/login")
            page.screenshot(path=folder / f"login-{name}-{scheme}.png")
            page.context.close()


def _open(browser: Browser, state: dict[str, object], size: tuple[int, int], scheme: str) -> Page:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme,  # type: ignore[arg-type]
        storage_state=state,  # type: ignore[arg-type]
    )  # fmt: skip
    return context.new_page()


def _sign_in(browser: Browser, url: str) -> dict[str, object]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    state: dict[str, object] = dict(context.storage_state())
    context.close()
    return state


def _desk(page: Page, url: str, *, heat: bool) -> None:
    page.goto(url)
    page.wait_for_selector("#desk:not([hidden]) .slide img")
    if heat:
        page.keyboard.press("h")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(200)


def _link(session: Session, name: str, role: Role) -> str:
    person = reviewers.add(session, name, role, datetime.now(UTC))
    return reviewers.issue(session, person, CredentialKind.LINK, datetime.now(UTC))


def _morning(session: Session, known: dict[str, str]) -> None:
    """Two people have worked for some hours, mostly right, with some second opinions."""
    chance = random.Random(0)
    people = [
        reviewers.add(session, name, Role.REVIEWER, datetime.now(UTC)) for name in ("Ada", "Ben")
    ]
    now = datetime.now(UTC) - timedelta(hours=6)
    for _ in range(16):
        for person in people:
            now += timedelta(seconds=chance.uniform(60, 260))
            held = claim(session, person, now, limit=3)
            if not held:
                return
            entry = entries(session, [chance.choice(held)], now)[0]
            label = known.get(entry.product.id, entry.tagging.label)
            if chance.random() < 0.08:
                label = chance.choice(LABELS)
            decision = Decision(
                tagging_id=entry.item.tagging_id, version=entry.item.version, key=uuid4().hex,
                action=Action.CORRECT, label=label, channel=Channel.PAGE,
                seconds=chance.uniform(1, 6),
            )  # fmt: skip
            decide(session, person, decision, now, second_share=0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None)
