"""A taxonomy of fifty: every category within two keys, or a few letters of its name."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from db.engine import sessions
from review.desk import Desk
from tests.desk import flag, person
from tests.review.browser.conftest import said, shows
from tests.review.browser.test_accessibility import PHONE, serious_violations
from tests.review.conftest import app_of, tag_photo, write_photo
from tests.review.server import serving
from tests.wardrobe import LABELS, WARDROBE, flag_wardrobe, ranking

WARDROBE_PARENTS = [WARDROBE.name_of(each) for each in WARDROBE.parents]


@pytest.fixture
def url(desk: Desk, tmp_path: Path) -> Iterator[str]:
    """A desk with forty items of a model of fifty categories."""
    photo = tmp_path / "photo.png"
    write_photo(photo)
    with sessions(desk.engine).begin() as session:
        flag_wardrobe(session, 40, desk.now())
        tag_photo(session, photo)
        person(session, "Ada")
    with serving(app_of(desk)) as address:
        yield address


class Keys:
    """Presses keys and counts them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.pressed = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.pressed += 1


def key_of(page: Page, label: str) -> str | None:
    """The key that gives a label now, where it has one that is shown."""
    button = page.locator(f"[data-label='{label}']:visible")
    if not button.count() or not button.first.locator("kbd").count():
        return None
    return button.first.locator("kbd").inner_text().lower()


def test_digits_give_the_models_best_nine(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    for number in range(9):
        shows(page, f"w{number:03d}")
        expect(page.locator("#labels .label")).to_have_count(9)
        page.keyboard.press(str(number + 1))
    labels = [row[2] for row in said(desk, 9)]
    assert labels == [ranking(number)[number] for number in range(9)]


def test_any_of_fifty_is_at_most_one_key_further_than_of_ten(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    """With ten every decision is one key; here the worst case is counted, for forty labels."""
    page = open_page()
    wanted = [LABELS[(7 * number + 3) % len(LABELS)] for number in range(40)]
    assert len(set(wanted)) == 40
    cost = []
    for number, label in enumerate(wanted):
        shows(page, f"w{number:03d}")
        keys = Keys(page)
        key = key_of(page, label)
        if key is None:
            keys.press("0")
            key = key_of(page, label)
            assert key, label
        keys.press(key)
        cost.append(keys.pressed)
    assert [row[2] for row in said(desk, 40)] == wanted
    assert max(cost) <= 2
    assert sum(cost) / len(cost) < 2


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("sk", "skirt"),
        ("tra", "sneaker"),  # an alias
        ("gym", "sneaker"),
        ("mutz", "beanie"),  # without its accent
        ("bags cl", "clutch"),  # a parent's name
        ("ANKLE-b", "ankle-boot"),
    ],
)
def test_two_or_three_letters_and_enter_find_a_category(
    desk: Desk, open_page: Callable[..., Page], typed: str, label: str
) -> None:
    page = open_page()
    shows(page, "w000")
    page.keyboard.press("/")
    page.keyboard.type(typed)
    expect(page.locator("#search-found [aria-selected=true]")).to_contain_text(
        WARDROBE.name_of(label)
    )
    page.keyboard.press("Enter")
    shows(page, "w001")
    page.keyboard.press("a")  # single keys decide again at once
    assert said(desk, 2)[0] == ("w000", "correct", label)


def test_letters_that_name_nothing_decide_nothing(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    shows(page, "w000")
    page.keyboard.press("/")
    page.keyboard.type("be cl")
    expect(page.locator("#search-none")).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#search-none")).to_be_hidden()
    page.keyboard.press("s")
    assert said(desk, 1) == [("w000", "skip", None)]


def test_what_was_used_lately_is_at_hand_after_a_reload(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    page = open_page()
    shows(page, "w000")
    for letters in ("kim", "pum"):
        page.keyboard.press("/")
        page.keyboard.type(letters)
        page.keyboard.press("Enter")
    said(desk, 2)
    page.reload()
    shows(page, "w002")
    expect(page.locator("#near li").nth(0)).to_have_text("Q Pump")
    expect(page.locator("#near li").nth(1)).to_have_text("W Kimono")
    page.keyboard.press("w")
    assert said(desk, 3)[2] == ("w002", "correct", "kimono")


def test_heat_map_of_any_category(open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "w000")
    page.keyboard.press("/")
    page.keyboard.type("espa")
    page.keyboard.press("Shift+Enter")
    heat = page.locator(".heat")
    expect(heat).to_have_attribute("src", "/pictures/1/heat/espadrille")
    expect(page.locator("#heat-label")).to_contain_text("Espadrille")
    assert heat.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    page.keyboard.press("Escape")
    page.keyboard.press("h")
    page.keyboard.press("h")
    expect(heat).to_have_attribute("src", f"/pictures/1/heat/{ranking(0)[0]}")
    page.keyboard.press("ArrowDown")
    expect(heat).to_have_attribute("src", f"/pictures/1/heat/{ranking(0)[1]}")


def test_items_of_two_models_follow_their_own_taxonomies(
    desk: Desk, open_page: Callable[..., Page]
) -> None:
    with sessions(desk.engine).begin() as session:
        flag(session, "ten", 0.01, now=desk.now(), label="coat")
    page = open_page()
    shows(page, "ten")
    expect(page.locator("#labels .label")).to_have_count(10)
    expect(page.locator("#search")).to_be_hidden()
    page.keyboard.press("0")
    shows(page, "w000")
    expect(page.locator("#labels .label")).to_have_count(9)
    expect(page.locator("#search")).to_be_visible()
    page.keyboard.press("2")
    assert [row[2] for row in said(desk, 2)] == ["ankle-boot", ranking(0)[1]]


def test_look_alikes_take_any_category_too(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page("/grid")
    expect(page.locator("#group-title")).to_contain_text(WARDROBE.name_of(LABELS[0]))
    expect(page.locator("#chips button")).to_have_count(14)
    page.keyboard.press("/")
    page.keyboard.type("slip")
    page.keyboard.press("Enter")
    assert said(desk, 1)[0][1:] == ("correct", "slipper")
    expect(page.locator("#group-title")).to_contain_text(WARDROBE.name_of(LABELS[1]))
    page.keyboard.press("3")
    assert said(desk, 2)[1][2] == ranking(1)[2]


def test_confusion_matrix_unfolds_by_parent(desk: Desk, open_page: Callable[..., Page]) -> None:
    page = open_page()
    shows(page, "w000")
    page.keyboard.press("/")
    page.keyboard.type("polo")
    page.keyboard.press("Enter")
    said(desk, 1)
    page.goto(page.url + "dashboard")
    head = page.locator(".confusion tbody th")
    expect(head).to_have_text(WARDROBE_PARENTS)
    page.get_by_role("link", name="Open Tops").click()
    expect(head.nth(0)).to_have_text("T-shirt")
    row = page.locator(".confusion tbody tr").nth(0)
    columns = page.locator(".confusion thead th").all_inner_texts()
    cells = row.locator("td").all_inner_texts()
    assert cells[columns.index("Polo")] == "1"
    page.get_by_role("link", name="Fold Tops").click()
    expect(head).to_have_text(WARDROBE_PARENTS)


@pytest.mark.parametrize(
    "viewport", [{"width": 1280, "height": 800}, PHONE], ids=["desktop", "phone"]
)
def test_axe_finds_nothing_serious_with_fifty(
    open_page: Callable[..., Page], viewport: dict[str, int]
) -> None:
    page = open_page(viewport=viewport)
    shows(page, "w000")
    assert serious_violations(page) == []
    page.keyboard.press("0")
    expect(page.locator("#others li")).to_have_count(36)
    assert serious_violations(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("s")
    assert serious_violations(page) == []
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
