from pathlib import Path

import pytest

from catalog.jobs import Job
from worker.photo_folders import find_pictures, picture_job, product_id


def test_folders_are_searched_at_any_depth_and_files_taken_as_given(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/b/2.JPG", "a/1.png", "a/notes.txt", "odd.bin"):
        (tmp_path / name).touch()
    found = list(find_pictures([tmp_path / "a", tmp_path / "odd.bin"]))
    assert found == [tmp_path / "a/1.png", tmp_path / "a/b/2.JPG", tmp_path / "odd.bin"]


def test_product_is_named_after_its_place_in_the_folder(tmp_path: Path) -> None:
    job = picture_job(tmp_path / "shoes/ä 1.jpg", tmp_path)
    assert job.product_id == "shoes/ä 1.jpg"
    assert job.image_uri == (tmp_path / "shoes/ä 1.jpg").as_uri()


@pytest.mark.parametrize("name", ["x" * 200 + ".jpg", "line\nbreak.jpg", "bad\udcff.jpg"])
def test_any_file_name_gives_an_id_of_the_contract(name: str) -> None:
    allowed = product_id(name)
    Job(product_id=allowed, image_uri="file:///a.jpg")
    assert allowed == product_id(name)
    assert allowed != product_id(name + "2")
