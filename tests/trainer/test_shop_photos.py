import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.failures import FailureCode, ImageFailure
from catalog.settings import Settings
from trainer.corrections import Correction, CorrectionsError
from trainer.shop_photos import STRANGER, photo_source, read_photos, shop_photos


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a bag.png"
    pixels = np.full((80, 60, 3), 255, np.uint8)
    pixels[20:70, 10:50] = 90
    Image.fromarray(pixels).save(path)
    return path


def test_pictures_are_read_by_path_and_by_uri_and_what_is_unreadable_is_named(
    picture: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    corrections = [
        Correction(image_uri=picture.as_uri(), label="bag"),
        Correction(image_uri=str(tmp_path / "none.jpg"), label="bag"),
        Correction(image_uri=str(tmp_path / "text.jpg"), label="bag"),
        Correction(image_uri=str(tmp_path), label="bag"),
    ]
    photos = read_photos(corrections, Settings())
    assert (photos.images.shape, photos.images.dtype) == ((1, 28, 28, 1), np.uint8)
    assert [text.rsplit(": ", 2)[1] for text in photos.unread] == [
        "not_found",
        "not_an_image",
        "not_found",
    ]


def test_a_picture_that_changed_since_it_was_labelled_is_left_out(picture: Path) -> None:
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()
    same = Correction(image_uri=str(picture), label="bag", image_sha256=digest)
    other = Correction(image_uri=str(picture), label="coat", image_sha256="0" * 64)
    photos = read_photos([same, other], Settings())
    assert len(photos) == 1
    assert "another picture" in photos.unread[0]


def test_other_hosts_are_asked_through_the_fetchers_guards() -> None:
    with photo_source(Settings()) as source, pytest.raises(ImageFailure) as caught:
        source("http://127.0.0.1/a.jpg")
    assert caught.value.code == FailureCode.FORBIDDEN_ADDRESS


def test_corrections_without_a_readable_picture_are_refused(tmp_path: Path) -> None:
    gone = [Correction(image_uri=str(tmp_path / f"{n}.jpg"), label="bag") for n in range(3)]
    with pytest.raises(CorrectionsError, match="found none among 3"):
        read_photos(gone, Settings())


def test_a_larger_file_than_allowed_is_not_read(picture: Path) -> None:
    chosen = Settings(image_bytes_max=10)
    with photo_source(chosen) as source, pytest.raises(ImageFailure) as caught:
        source(str(picture))
    assert caught.value.code == FailureCode.TOO_MANY_BYTES


def test_equal_pictures_count_once_and_not_at_all_where_people_disagree() -> None:
    a, b, c = (np.full((28, 28, 1), tone, np.uint8) for tone in (1, 2, 3))
    photos = shop_photos([a, a, b, b, c], ["bag", "bag", "bag", "coat", "not_in_taxonomy"])
    assert photos.labels.tolist() == [8, STRANGER]
    assert photos.known.tolist() == [True, False]
