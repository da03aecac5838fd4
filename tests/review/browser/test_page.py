"""Deciding by keyboard: what the page shows, and what is written down."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect
from sqlalchemy import text, update

from catalog.outcomes import FlagReason
from db.engine import sessions
from db.ledger.models import Product
from db.review.models import ReviewItem, Role
from review.desk import Desk
from tests.desk import flag, person
from tests.review.browser.conftest import said, shows

pytestmark = pytest.mark.browser


def test_whole_session_by_keyboard(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    for number, key in enumerate(["a", "4", "n", "b", "s", "Enter", "7"]):
        shows(page, f"p{number:03d}")
        page.keyboard.press(key)
    shows(page, "p007")
    assert said(desk, 7) == [
        ("p000", "accept", "t-shirt-top"),
        ("p001", "correct", "dress"),
        ("p002", "not_in_taxonomy", "not_in_taxonomy"),
        ("p003", "bad_image", "bad_image"),
        ("p004", "skip", None),
        ("p005", "accept", "sandal"),
        ("p006", "accept", "shirt"),
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
        flag(session, "first", 0.05, now=desk.now(), label="coat")
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
    expect(page.locator(".heat")).to_have_attribute("src", "/pictures/1/heat/t-shirt-top")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".heat")).to_have_attribute("src", "/pictures/1/heat/trouser")
    expect(page.locator("#heat-label")).to_contain_text("Trouser")
    page.get_by_label("Heat map of Ankle boot").click()
    expect(page.locator(".heat")).to_have_attribute("src", "/pictures/1/heat/ankle-boot")
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
    page.get_by_label("Machine's label").select_option("bag")
    page.get_by_role("button", name="Apply").click()
    shows(page, "p008")
    expect(page.locator("#waiting")).to_have_text("3")
    page.keyboard.press("a")
    shows(page, "p018")


def test_end_of_the_queue_is_said_and_can_be_undone(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page("/?label=bag&confidence_max=0.5")
    for product_id in ("p008",):
        shows(page, product_id)
        page.keyboard.press("a")
    expect(page.get_by_role("heading", name="Nothing is waiting")).to_be_visible()
    said(desk, 1)
    page.keyboard.press("u")
    shows(page, "p008")


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
    assert {row[1:] for row in rows} == {("correct", "coat")}


def test_a_group_of_strangers_is_offered_as_not_in_the_taxonomy(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    with sessions(desk.engine).begin() as session:
        session.execute(update(ReviewItem).values(reasons=f" {FlagReason.OUT_OF_TAXONOMY} "))
    page = open_page("/grid")
    expect(page.locator("#accept-text")).to_have_text("Accept 3 as not in the taxonomy")
    page.keyboard.press("a")
    assert {row[1:] for row in said(desk, 3)} == {("not_in_taxonomy", "not_in_taxonomy")}


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


def test_lead_settles_a_dispute_on_the_page(desk: Desk, open_page: Callable[..., Page]) -> None:
    with sessions(desk.engine).begin() as session:
        person(session, "Lea", Role.LEAD)
        session.execute(
            text("UPDATE review_queue SET waits_for='lead', round=3 WHERE product_id='p029'")
        )
    page = open_page(name="Lea")
    shows(page, "p029")
    page.keyboard.press("a")
    assert said(desk, 1)[0] == ("p029", "accept", "ankle-boot")
