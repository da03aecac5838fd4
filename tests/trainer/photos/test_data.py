import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from catalog.taxonomy.document import drafted
from catalog.taxonomy.files import shipped
from tests.trainer.photos.pictures import TAXONOMY, drawn, write_folders
from trainer.photos.data import (
    PhotosError,
    drafted_taxonomy,
    folds_by_group,
    garment_mask,
    load_photos,
    read_photos,
    targets_of,
)


def write_photo(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), drawn("disc", np.random.default_rng(seed)))


def test_folders_named_by_category_are_read(tmp_path: Path) -> None:
    write_folders(tmp_path, 2)
    (tmp_path / "disc" / "notes.txt").write_text("no photo")
    photos = read_photos([tmp_path])
    assert len(photos) == 8
    assert drafted_taxonomy(photos).ids == ("bar", "cross", "disc", "frame")
    assert len({photo.group for photo in photos}) == 8


@pytest.mark.parametrize("column", ["path", "image_uri"])
def test_a_csv_list_has_paths_beside_it_labels_and_groups(tmp_path: Path, column: str) -> None:
    (tmp_path / "list.csv").write_text(
        f"{column},label,sender\na/1.jpg,disc,7\nb.jpg,bar|frame,8\n"
    )
    first, second = read_photos([tmp_path / "list.csv"], "sender")
    assert (first.path, first.labels) == (tmp_path / "a/1.jpg", ("disc",))
    assert second.labels == ("bar", "frame")
    assert first.group != second.group


def test_a_jsonl_list_is_read_with_one_group_for_each_photo_where_none_is_named(
    tmp_path: Path,
) -> None:
    lines = [{"image_uri": f"file://{tmp_path}/{n}.jpg", "label": "disc"} for n in range(3)]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    photos = read_photos([tmp_path / "list.jsonl"])
    assert [photo.path for photo in photos] == [tmp_path / f"{n}.jpg" for n in range(3)]
    assert len({photo.group for photo in photos}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\na.jpg,disc\n", "missing: path"),
        ("path,kind\na.jpg,disc\n", "missing: label"),
        ("path,label\na.jpg,disc\n", "missing: sender"),
        ("path,label,sender\n", "found none"),
    ],
)
def test_a_list_without_what_it_needs_is_refused_with_its_name(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(PhotosError, match=said):
        read_photos([tmp_path / "list.csv"], "sender")


def test_what_is_wrong_with_the_photos_is_said_before_training(tmp_path: Path) -> None:
    for number in range(12):
        write_photo(tmp_path / "disc" / f"{number}.png", seed=number)
    write_photo(tmp_path / "bar" / "copy.png", seed=3)
    (tmp_path / "bar" / "broken.png").write_bytes(b"no picture")
    write_photo(tmp_path / "bar" / "good.png", seed=99)
    photos, problems = load_photos(read_photos([tmp_path]), drafted(["bar", "disc"]), 32)
    assert len(problems.unreadable) == 1
    assert "broken.png" in problems.unreadable[0]
    assert any("copy.png (bar)" in line and "3.png (disc)" in line for line in problems.lines())
    assert [line.split()[0] for line in problems.scarce] == ["bar"]
    assert len(photos) == 12  # without the broken one and both copies


def test_photos_are_kept_larger_than_the_network_sees_them(tmp_path: Path) -> None:
    write_photo(tmp_path / "disc" / "0.png")
    photos, _ = load_photos(read_photos([tmp_path]), TAXONOMY, 32)
    assert photos.pixels.shape == (1, 40, 40, 3)
    assert photos.pixels.dtype == np.uint8


def test_a_label_of_no_category_is_a_stranger_and_one_of_several_any_of_them() -> None:
    found = targets_of([("bar",), ("disc", "bar"), ("cross",)], TAXONOMY)
    assert found.astype(int).tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]


def test_a_label_may_be_a_name_an_alias_or_a_parent_of_the_taxonomy() -> None:
    taxonomy = shipped("fashion-mnist")
    found = targets_of([("Ankle boot",), ("jumper",), ("shoes",), ("Hat",)], taxonomy)
    named = [[(*taxonomy.ids, "?")[place] for place in np.flatnonzero(row)] for row in found]
    assert named == [["ankle-boot"], ["pullover"], ["sandal", "sneaker", "ankle-boot"], ["?"]]


def test_the_garment_of_a_tall_photo_is_found_where_the_letterbox_has_it() -> None:
    photo = np.full((200, 100, 3), 245, np.uint8)
    photo[50:150, 25:75] = (160, 30, 40)
    mask = garment_mask(photo, 80)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    assert (rows[0], rows[-1]) == pytest.approx((20, 59), abs=2)
    assert (columns[0], columns[-1]) == pytest.approx((30, 49), abs=2)


def test_no_group_lies_in_two_folds_and_folds_are_of_like_size() -> None:
    groups = np.random.default_rng(0).integers(0, 40, 400)
    fold = folds_by_group(groups, 4, seed=1)
    assert all(len(set(fold[groups == group])) == 1 for group in range(40))
    assert np.ptp(np.bincount(fold)) < 20
