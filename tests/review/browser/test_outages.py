"""What a reviewer loses when something else is down: nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import event, text, update

from db.engine import sessions
from db.ledger.models import Product, Thumbnail
from review.desk import Desk
from tests.desk import person
from tests.review.browser.conftest import link, said, shows, sign_in
from tests.review.conftest import write_photo

pytestmark = pytest.mark.browser

DECISION = "**/decision"


def test_decisions_made_offline_are_kept_and_sent(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    shows(page, "p000")
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    for _ in range(3):
        page.keyboard.press("a")
    shows(page, "p003")
    expect(page.locator("#banner")).to_contain_text("kept in this browser")
    page.context.set_offline(False)
    assert [row[0] for row in said(desk, 3)] == ["p000", "p001", "p002"]
    expect(page.locator("#banner")).to_be_hidden()


def test_decisions_wait_for_a_database_that_takes_no_changes(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    shows(page, "p000")
    page.wait_for_load_state("networkidle")
    state = {"setting": "ON"}

    def freeze(connection: Any, *_: object) -> None:
        connection.execute(f"PRAGMA query_only={state['setting']}")

    event.listen(desk.engine, "checkout", freeze)
    page.keyboard.press("a")
    shows(page, "p001")
    expect(page.locator("#banner")).to_contain_text("takes no changes at the moment")
    assert said(desk, 0) == []
    state["setting"] = "OFF"
    assert said(desk, 1) == [("p000", "accept", "t-shirt-top")]
    expect(page.locator("#banner")).to_be_hidden()


def test_decisions_survive_a_reload(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    page.route(DECISION, lambda route: route.abort())
    page.keyboard.press("a")
    shows(page, "p001")
    page.unroute(DECISION)
    page.reload()
    assert said(desk, 1) == [("p000", "accept", "t-shirt-top")]
    shows(page, "p001")


def test_two_tabs_lose_no_decision(desk: Desk, open_page: Callable[..., Page], url: str) -> None:
    first = open_page()
    shows(first, "p000")
    first.wait_for_load_state("networkidle")
    context = first.context
    second = context.new_page()
    second.goto(f"{url}/grid?label=bag")
    expect(second.locator(".tile")).to_have_count(2)  # the first tab holds the third
    for path in (DECISION, "**/bulk"):
        context.route(path, lambda route: route.abort())
    first.keyboard.press("a")
    first.keyboard.press("4")
    shows(first, "p002")
    second.keyboard.press("a")
    expect(second.locator("#banner")).to_contain_text("3 decisions are kept in this browser")
    first.keyboard.press("n")
    shows(first, "p003")
    kept = "Object.keys(localStorage).filter((name) => name.startsWith('outbox'))"
    assert len(first.evaluate(kept)) == 4
    first.close()
    for path in (DECISION, "**/bulk"):
        context.unroute(path)
    rows = said(desk, 5)
    assert [row for row in rows if row[2] != "bag"] == [
        ("p000", "accept", "t-shirt-top"),
        ("p001", "correct", "dress"),
        ("p002", "not_in_taxonomy", "not_in_taxonomy"),
    ]
    assert [row[1] for row in rows if row[2] == "bag"] == ["accept"] * 2
    expect(second.locator("#banner")).to_be_hidden()
    assert second.evaluate(kept) == []


def test_tab_that_closes_gives_back_only_its_own(
    desk: Desk, open_page: Callable[..., Page], url: str
) -> None:
    first = open_page()
    shows(first, "p000")
    second = first.context.new_page()
    second.goto(url)
    shows(second, "p010")
    second.goto("about:blank")
    ben = open_page(name="Ben")
    shows(ben, "p010")
    for _ in range(3):
        first.keyboard.press("a")
    assert [row[:2] for row in said(desk, 3)] == [(f"p00{n}", "accept") for n in range(3)]


def test_decision_after_the_session_ended_is_sent_after_signing_in(
    desk: Desk, open_page: Callable[..., Page], url: str
) -> None:
    page = open_page()
    shows(page, "p000")
    with sessions(desk.engine).begin() as session:
        session.execute(text("UPDATE review_sessions SET ended_at = created_at"))
    page.keyboard.press("a")
    expect(page.locator("#banner")).to_contain_text("You are signed out. 1 decision is kept")
    page.get_by_role("link", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing is lost")
    sign_in(page, f"{url}/welcome/{link(desk, 'Ada')}")
    assert said(desk, 1) == [("p000", "accept", "t-shirt-top")]


def test_stale_decision_is_explained(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    with sessions(desk.engine).begin() as session:
        ben = person(session, "Ben").id
        session.execute(
            text("UPDATE review_queue SET version = version + 1, leased_by = :ben"), {"ben": ben}
        )
    page.keyboard.press("a")
    expect(page.locator("#toasts")).to_contain_text("Not saved: p000 is now with Ben")


def test_photo_that_is_gone_leaves_the_thumbnail_and_says_so(
    desk: Desk, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    with sessions(desk.engine).begin() as session:
        session.execute(update(Product).values(image_uri=(tmp_path / "gone.png").as_uri()))
    page = open_page()
    expect(page.locator("#photo-note")).to_contain_text(
        "The photo cannot be shown: Expected a file"
    )
    expect(page.locator(".slide img")).to_have_attribute("src", "/pictures/1/thumbnail")
    page.keyboard.press("a")
    shows(page, "p001")


def test_photo_that_changed_is_said_and_shown_beside_what_the_machine_saw(
    desk: Desk, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    write_photo(tmp_path / "photo.png", 320, 420)
    page = open_page()
    expect(page.locator("#photo-note")).to_have_text(
        "The photo has changed since it was tagged: its address gives another file now. "
        "The small picture is what the machine saw."
    )
    photo, tagged = page.locator(".slide .photo"), page.locator(".slide .tagged")
    expect(photo).to_have_attribute("src", "/pictures/1/photo?changed=shown")
    assert photo.evaluate("image => image.naturalWidth") == 320
    expect(tagged).to_have_attribute("src", "/pictures/1/thumbnail")
    page.keyboard.press("h")  # heat belongs to the photo that was tagged
    expect(page.locator(".heat")).to_have_count(0)
    page.keyboard.press("a")
    assert said(desk, 1)[0][0] == "p000"


def test_missing_photo_and_thumbnail_do_not_stop_the_work(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    with sessions(desk.engine).begin() as session:
        session.execute(update(Product).values(image_uri="file:///nowhere.png"))
        session.execute(update(Thumbnail).values(overlay_jpeg=b""))
    page = open_page()
    expect(page.locator("#photo-note")).to_contain_text("There is no thumbnail either")
    page.keyboard.press("a")
    assert said(desk, 1)[0][0] == "p000"
