"""The page by keys alone, for screen readers, in both schemes, on a phone."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from review.desk import Desk
from tests.review.browser.conftest import DESKTOP, said, shows

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}


def serious_violations(page: Page) -> list[tuple[str, list[str]]]:
    """What axe finds: the rule, and the elements that break it."""
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


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
            assert serious_violations(page) == [], (path, scheme)
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, path
