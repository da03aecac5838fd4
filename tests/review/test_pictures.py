import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from catalog.images.model_input import Square
from db.engine import sessions
from db.ledger.models import Product, Thumbnail
from review.desk import Desk
from review.photos import Photo, heat_layer
from tests.desk import flag
from tests.review.conftest import browser, write_photo


@pytest.fixture
def show(desk: Desk, tmp_path: Path) -> Callable[[str], int]:
    """Put a product with this image URI on the desk."""

    def make(uri: str) -> int:
        maps = np.zeros((7, 7, 10), np.float16)
        maps[2:5, 2:5, 4] = 5
        with sessions(desk.engine).begin() as session:
            tagging_id = flag(session, "p1", now=desk.now(), class_map=maps.tobytes())
            session.execute(update(Product).values(image_uri=uri))
        return tagging_id

    return make


def test_photo_comes_from_the_desk_itself_and_fits_a_page(
    desk: Desk, show: Callable[[str], int], tmp_path: Path
) -> None:
    write_photo(tmp_path / "large.png", 2000, 3000)
    item = show((tmp_path / "large.png").as_uri())
    answer = browser(desk).get(f"/pictures/{item}/photo")
    assert answer.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(answer.content)).size) == 1100


def test_small_photo_is_sent_without_loss(
    desk: Desk, show: Callable[[str], int], tmp_path: Path
) -> None:
    write_photo(tmp_path / "small.png", 28, 28)
    item = show((tmp_path / "small.png").as_uri())
    answer = browser(desk).get(f"/pictures/{item}/photo")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("PNG", (28, 28))


def test_heat_lies_where_the_network_saw_the_label(
    desk: Desk, show: Callable[[str], int], tmp_path: Path
) -> None:
    write_photo(tmp_path / "photo.png", 300, 400)
    item = show((tmp_path / "photo.png").as_uri())
    ada = browser(desk)
    hot, cold = (
        np.asarray(Image.open(io.BytesIO(ada.get(f"/pictures/{item}/heat/{label}").content)))
        for label in (4, 5)
    )
    assert hot.shape == (256, 192, 4)
    assert hot[128, 96, 3] > 150
    assert hot[5, 5, 3] == 0
    assert cold[:, :, 3].max() == 0


def test_heat_stays_inside_the_square_that_the_network_saw() -> None:
    square = Square(left=50, top=100, side=100)
    photo = Photo(data=b"", media_type="", width_px=256, height_px=256, square=square)
    layer = heat_layer(photo, np.ones((7, 7), np.float32))
    alpha = np.asarray(Image.open(io.BytesIO(layer)))[:, :, 3]
    assert alpha[102:198, 52:148].min() > 150
    assert alpha[:99].max() == alpha[:, :49].max() == alpha[201:].max() == 0


@pytest.mark.parametrize("picture", ["photo", "thumbnail", "heat/4"])
def test_picture_that_the_browser_has_is_not_sent_again(
    desk: Desk, show: Callable[[str], int], tmp_path: Path, picture: str
) -> None:
    write_photo(tmp_path / "photo.png")
    item = show((tmp_path / "photo.png").as_uri())
    ada = browser(desk)
    first = ada.get(f"/pictures/{item}/{picture}")
    assert first.status_code == 200
    assert first.headers["cache-control"].startswith("private, max-age=")
    tag = first.headers["etag"]
    for sent in (tag, f'"other", W/{tag}', "*"):
        again = ada.get(f"/pictures/{item}/{picture}", headers={"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    other = ada.get(f"/pictures/{item}/{picture}", headers={"If-None-Match": '"other"'})
    assert other.content == first.content


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("file:///nowhere/p1.jpg", "outside the allowed roots"),
        ("{folder}/missing.png", "found none"),
        ("{folder}/text.jpg", "found text"),
    ],
)
def test_photo_that_cannot_be_shown_says_why(
    desk: Desk, show: Callable[[str], int], tmp_path: Path, uri: str, said: str
) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    item = show(uri.format(folder=tmp_path.as_uri()))
    answer = browser(desk).get(f"/pictures/{item}/photo")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]


def test_missing_thumbnail_is_said(desk: Desk, show: Callable[[str], int]) -> None:
    item = show("file:///nowhere.png")
    with sessions(desk.engine).begin() as session:
        session.execute(Thumbnail.__table__.delete())  # type: ignore[attr-defined]
    ada = browser(desk)
    assert "no thumbnail" in ada.get(f"/pictures/{item}/thumbnail").json()["detail"]
    assert ada.get(f"/pictures/{item}/heat/1").status_code == 404
