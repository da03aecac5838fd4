import asyncio
import io
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine, update

from catalog.images.decode import DecodeLimits
from catalog.images.model_input import Square
from catalog.networks import NetworkName
from db.engine import sessions
from db.ledger.models import Product, Tagging, Thumbnail
from review.desk import Desk
from review.photos import Photo, Photos, heat_layer
from review.picture_pool import THREADS, PicturePool
from review.problems import ProblemError
from tests.catalog.fetching.fetchers import Fetchers
from tests.catalog.fetching.hosts import host, response
from tests.desk import flag, flag_many
from tests.review.conftest import RATES, Clock, app_of, browser, tag_photo, write_photo
from tests.review.server import serving

WAIT_S = 120.0


@pytest.fixture
def show(desk: Desk, tmp_path: Path) -> Callable[[str], int]:
    """Put a product with this image URI on the desk."""

    def make(uri: str) -> int:
        maps = np.zeros((7, 7, 10), np.float16)
        maps[2:5, 2:5, 4] = 5
        with sessions(desk.engine).begin() as session:
            tagging_id = flag(session, "p1", now=desk.now(), class_map=maps.tobytes())
            path = Path(unquote(urlsplit(uri).path))
            if path.is_file():
                tag_photo(session, path)
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
        for label in ("coat", "sandal")
    )
    assert hot.shape == (256, 192, 4)
    assert hot[128, 96, 3] > 150
    assert hot[5, 5, 3] == 0
    assert cold[:, :, 3].max() == 0


def test_heat_stays_inside_the_square_that_the_network_saw() -> None:
    square = Square(left=50, top=100, side=100)
    photo = Photo(data=b"", media_type="", width_px=256, height_px=256, square=square)
    layer = heat_layer(photo, np.ones((7, 7), np.float32), NetworkName.REDUCED)
    alpha = np.asarray(Image.open(io.BytesIO(layer)))[:, :, 3]
    assert alpha[102:198, 52:148].min() > 150
    assert alpha[:99].max() == alpha[:, :49].max() == alpha[201:].max() == 0


def test_heat_of_the_photo_network_lies_where_it_saw_it() -> None:
    square = Square(left=50, top=100, side=100)
    photo = Photo(data=b"", media_type="", width_px=192, height_px=256, square=square)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 1] = 1  # the letterbox begins a sixth of the width to the left of the photo
    layer = heat_layer(photo, heat, NetworkName.PHOTO)
    alpha = np.asarray(Image.open(io.BytesIO(layer)))[:, :, 3]
    assert alpha.shape == (256, 192)
    assert alpha[32, 64] > 150
    assert alpha[128:].max() == 0


@pytest.mark.parametrize("picture", ["photo", "thumbnail", "heat/coat"])
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


def test_photo_that_is_not_the_one_that_was_tagged_is_shown_only_when_asked_for(
    desk: Desk, show: Callable[[str], int], tmp_path: Path
) -> None:
    write_photo(tmp_path / "photo.png")
    item = show((tmp_path / "photo.png").as_uri())
    write_photo(tmp_path / "photo.png", 150, 100)
    ada = browser(desk)
    for path in ("photo", "heat/coat"):
        answer = ada.get(f"/pictures/{item}/{path}")
        assert answer.status_code == 409
        assert "has changed since it was tagged" in answer.json()["detail"]
    now = ada.get(f"/pictures/{item}/photo?changed=shown")
    assert Image.open(io.BytesIO(now.content)).size == (150, 100)
    write_photo(tmp_path / "photo.png")  # it is back
    assert ada.get(f"/pictures/{item}/photo").status_code == 200


def test_slow_image_host_slows_neither_decisions_nor_health(
    sqlite_engine: Engine, clock: Clock
) -> None:
    """The host answers only after the desk has: waiting for it would never end."""
    answered, asked = threading.Event(), threading.Semaphore(0)

    def later(connection: socket.socket, request: bytes) -> bool:
        asked.release()
        answered.wait(WAIT_S)
        connection.sendall(response("404 Not Found"))
        return False

    with (
        host(later, address="0.0.0.0") as slow,
        ThreadPoolExecutor(80) as people,
        closing(Fetchers()) as make,
    ):
        fetch = make(total_timeout_s=WAIT_S, connections_per_host_max=60, connections_max=60).fetch
        desk = Desk(
            engine=sqlite_engine, photos=Photos(fetch, DecodeLimits()), rates=RATES,
            now=lambda: clock.now,
        )  # fmt: skip
        with sessions(sqlite_engine).begin() as session:
            ids = flag_many(session, 80, desk.now())
            for item in ids:
                product = session.get_one(Tagging, item).product_id
                session.get_one(Product, product).image_uri = slow.url(
                    # As many names, as one that does not answer gets eight connections.
                    f"/{item}.jpg",
                    name=f"127.0.0.{1 + item % 20}",
                )
        ada = browser(desk)
        with serving(app_of(desk)) as url, httpx.Client(
            base_url=url, cookies=dict(ada.cookies), headers=ada.headers, timeout=WAIT_S,
            limits=httpx.Limits(max_connections=None),
        ) as client:  # fmt: skip
            photos = [people.submit(client.get, f"/pictures/{item}/photo") for item in ids]
            for _ in range(THREADS):
                assert asked.acquire(timeout=WAIT_S)
            assert client.get("/healthz").text == "ok"
            [first, *_] = client.post("/api/v1/claims", json={}).json()["items"]
            said = client.post(
                f"/api/v1/items/{first['item']}/decision", headers={"If-Match": first["etag"]},
                json={"action": "accept", "key": "while-the-host-sleeps"},
            )  # fmt: skip
            assert said.status_code == 200
            assert client.get(first["thumbnail_url"]).status_code == 200
            assert not any(each.done() for each in photos)
            answered.set()
            assert {each.result().status_code for each in photos} == {404}


def test_photos_beyond_the_pools_bound_are_refused_at_once() -> None:
    release = threading.Event()

    async def ask() -> list[object]:
        pool = PicturePool(threads=1, asked_max=2)
        waiting = [asyncio.create_task(pool.run(release.wait, WAIT_S)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ProblemError) as refused:
            await pool.run(release.wait)
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
        release.set()
        return [await each for each in waiting] + [await pool.run(release.wait)]

    assert asyncio.run(ask()) == [True, True, True]


def test_missing_thumbnail_is_said(desk: Desk, show: Callable[[str], int]) -> None:
    item = show("file:///nowhere.png")
    with sessions(desk.engine).begin() as session:
        session.execute(Thumbnail.__table__.delete())  # type: ignore[attr-defined]
    ada = browser(desk)
    assert "no thumbnail" in ada.get(f"/pictures/{item}/thumbnail").json()["detail"]
    assert ada.get(f"/pictures/{item}/heat/coat").status_code == 404
