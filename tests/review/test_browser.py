"""The page as people use it: a real server, a real Chromium, the keyboard."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect, sync_playwright
from sqlalchemy import event, select, text, update

from catalog.taxonomy import LABELS
from db import reviewers
from db.engine import reading, sessions
from db.models import Product, Thumbnail
from db.review_models import CredentialKind, Review, Role
from review.desk import Desk
from tests.desk import flag, flag_many, person
from tests.review.chromium import launch
from tests.review.conftest import app_of, write_photo
from tests.review.server import serving

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
DECISION = "**/decision"
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
        session.execute(update(Product).values(image_uri=photo.as_uri()))
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
        page.goto(f"{url}/welcome/{link(desk, name)}")
        if path != "/":
            page.goto(url + path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


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


def test_whole_session_by_keyboard(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    for number, key in enumerate(["a", "4", "n", "b", "s", "Enter", "7"]):
        shows(page, f"p{number:03d}")
        page.keyboard.press(key)
    shows(page, "p007")
    assert said(desk, 7) == [
        ("p000", "accept", "T-shirt/top"),
        ("p001", "correct", "Dress"),
        ("p002", "not_in_taxonomy", "not_in_taxonomy"),
        ("p003", "bad_image", "bad_image"),
        ("p004", "skip", None),
        ("p005", "accept", "Sandal"),
        ("p006", "accept", "Shirt"),
    ]
    for number in (6, 5, 4):
        page.keyboard.press("u")
        shows(page, f"p{number:03d}")
    assert [action for _, action, _ in said(desk, 10)[7:]] == ["undo"] * 3


def test_next_picture_does_not_wait_for_the_server(open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    page.wait_for_load_state("networkidle")
    held: list[Route] = []
    page.route("**/*", lambda route: held.append(route))
    for number in (1, 2, 3):
        page.keyboard.press("a")
        expect(page.locator("#product")).to_have_text(f"p{number:03d}", timeout=1000)
        assert page.evaluate("document.querySelector('.photo').naturalWidth") == 300
    took = page.evaluate("performance.getEntriesByName('decision-to-next').map(e => e.duration)")
    assert len(took) >= 2


def test_item_is_shown_with_all_that_helps_to_decide(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    with sessions(desk.engine).begin() as session:
        flag(session, "first", 0.05, now=desk.now(), label="Coat")
        session.execute(update(Product).where(Product.id == "first").values(declared_label="Skirt"))
        session.execute(
            text("UPDATE review_queue SET declared_label='Skirt' WHERE product_id='first'")
        )
    page = open_page()
    shows(page, "first")
    expect(page.locator("#label")).to_have_text("Coat")
    expect(page.locator("#why")).to_contain_text("only 5 % sure that this is a Coat; Shirt follows")
    expect(page.locator("#declared")).to_have_text("Skirt")
    expect(page.locator("#labels .label")).to_have_count(10)
    expect(page.locator(".label.machine .name")).to_have_text("Coat")
    expect(page.locator("#similar .none")).to_be_visible()


def test_heat_map_of_every_label(open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    expect(page.locator(".heat")).to_have_count(0)
    page.keyboard.press("h")
    expect(page.locator(".heat")).to_have_attribute("src", "/pictures/1/heat/0")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".heat")).to_have_attribute("src", "/pictures/1/heat/1")
    expect(page.locator("#heat-label")).to_contain_text(LABELS[1])
    page.get_by_label("Heat map of Ankle boot").click()
    expect(page.locator(".heat")).to_have_attribute("src", "/pictures/1/heat/9")
    page.keyboard.press("h")
    expect(page.locator(".heat")).to_have_count(0)


def test_similar_reviewed_items_are_shown(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    page.keyboard.press("3")
    said(desk, 1)
    page.reload()
    expect(page.locator("#similar li").first).to_have_text("Pullover")
    expect(page.locator("#similar img").first).to_have_attribute("src", "/pictures/1/thumbnail")


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
    assert said(desk, 1) == [("p000", "accept", "T-shirt/top")]
    expect(page.locator("#banner")).to_be_hidden()


def test_decisions_survive_a_reload(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    page.route(DECISION, lambda route: route.abort())
    page.keyboard.press("a")
    shows(page, "p001")
    page.unroute(DECISION)
    page.reload()
    assert said(desk, 1) == [("p000", "accept", "T-shirt/top")]
    shows(page, "p001")


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
    page.goto(f"{url}/welcome/{link(desk, 'Ada')}")
    assert said(desk, 1) == [("p000", "accept", "T-shirt/top")]


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


def test_html_in_ids_and_names_is_shown_as_text(desk: Desk, open_page: Callable[..., Page]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    with sessions(desk.engine).begin() as session:
        flag(session, evil, 0.01, now=desk.now())
    page = open_page(name="<b>Eve</b>")
    shows(page, evil)
    expect(page.locator(".who")).to_contain_text("<b>Eve</b>")
    page.keyboard.press("a")
    said(desk, 1)
    page.goto(page.url + "dashboard")
    expect(page.locator("main")).to_contain_text("<b>Eve</b>")


def test_filter_narrows_the_queue(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("summary").first.click()
    page.get_by_label("Machine's label").select_option("Bag")
    page.get_by_role("button", name="Apply").click()
    shows(page, "p008")
    expect(page.locator("#waiting")).to_have_text("3")
    page.keyboard.press("a")
    shows(page, "p018")


def test_end_of_the_queue_is_said_and_can_be_undone(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page("/?label=Bag&confidence_max=0.5")
    for product_id in ("p008",):
        shows(page, product_id)
        page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Nothing is waiting")).to_be_visible()
    said(desk, 1)
    page.keyboard.press("u")
    shows(page, "p008")


def test_help_opens_and_closes_by_key_and_stops_other_keys(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    shows(page, "p000")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    shows(page, "p000")


def test_single_keys_can_be_turned_off(open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    page.keyboard.press("?")
    page.get_by_label("Single keys decide at once").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.wait_for_timeout(100)
    shows(page, "p000")


def test_works_with_tab_and_enter_alone(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.action") == "not_in_taxonomy":
            break
    page.keyboard.press("Enter")
    assert said(desk, 1)[0][:2] == ("p000", "not_in_taxonomy")


def test_next_item_is_announced_to_screen_readers(open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "p000")
    page.keyboard.press("a")
    expect(page.locator("#announce")).to_contain_text("p001: Trouser, 22 %. The model is only")


def test_grid_decides_look_alikes_with_one_key_and_takes_it_back(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page("/grid")
    expect(page.locator(".tile")).to_have_count(3)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    expect(page.locator("#accept-text")).to_have_text("Accept 2 as T-shirt/top")
    page.keyboard.press("a")
    assert sorted(action for _, action, _ in said(desk, 3)) == ["accept", "accept", "skip"]
    expect(page.locator("#group-title")).to_contain_text("Trouser")
    page.keyboard.press("u")
    expect(page.locator("#group-title")).to_contain_text("T-shirt/top")
    assert [action for _, action, _ in said(desk, 6)[3:]] == ["undo"] * 3
    page.keyboard.press("5")
    rows = said(desk, 9)[6:]
    assert {row[1:] for row in rows} == {("correct", "Coat")}


def test_two_people_work_without_stepping_on_each_other(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    ada, ben = open_page(), open_page(name="Ben")
    shows(ada, "p000")
    shows(ben, "p010")
    for _ in range(5):
        ada.keyboard.press("a")
        ben.keyboard.press("a")
    products = [row[0] for row in said(desk, 10)]
    assert len(set(products)) == 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(
    open_page: Callable[..., Page], desk: Desk, viewport: dict[str, int], scheme: str
) -> None:
    page = open_page(viewport=viewport, color_scheme=scheme)
    shows(page, "p000")
    page.keyboard.press("3")
    said(desk, 1)
    for path in ("/", "/grid", "/dashboard", "/login"):
        page.goto(page.url.split("/", 3)[0] + "//" + page.url.split("/")[2] + path)
        page.wait_for_load_state("networkidle")
        for opened in ("", "?") if path == "/" else ("",):
            if opened:
                page.keyboard.press(opened)
            found = Axe().run(page).response["violations"]
            serious = [
                (each["id"], [node["html"] for node in each["nodes"]])
                for each in found
                if each["impact"] in ("serious", "critical")
            ]
            assert serious == [], (path, scheme)
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, path


def test_lead_settles_a_dispute_on_the_page(desk: Desk, open_page: Callable[..., Page]) -> None:
    with sessions(desk.engine).begin() as session:
        person(session, "Lea", Role.LEAD)
        session.execute(
            text("UPDATE review_queue SET waits_for='lead', round=3 WHERE product_id='p029'")
        )
    page = open_page(name="Lea")
    shows(page, "p029")
    page.keyboard.press("a")
    assert said(desk, 1)[0] == ("p029", "accept", "Ankle boot")
