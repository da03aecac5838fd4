import json
from pathlib import Path

import pytest

from tests.trainer.photos.pictures import write_folders
from trainer.photos.lists import LabelledPhoto, PhotosError, drafted_taxonomy, read_photos


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
    assert (first.path, first.labels) == (str(tmp_path / "a/1.jpg"), ("disc",))
    assert second.labels == ("bar", "frame")
    assert first.group != second.group


def test_a_jsonl_list_is_read_with_one_group_for_each_photo_where_none_is_named(
    tmp_path: Path,
) -> None:
    lines = [{"image_uri": f"file://{tmp_path}/{n}.jpg", "label": "disc"} for n in range(3)]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    photos = read_photos([tmp_path / "list.jsonl"])
    assert [photo.path for photo in photos] == [str(tmp_path / f"{n}.jpg") for n in range(3)]
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


@pytest.mark.parametrize("weight", ["0", "-1", "1.5", "much", "nan"])
def test_a_weight_that_is_no_share_is_refused(tmp_path: Path, weight: str) -> None:
    (tmp_path / "list.csv").write_text(f"path,label,weight\na.jpg,disc,{weight}\n")
    with pytest.raises(PhotosError, match="weight above 0 and at most 1 in item 1"):
        read_photos([tmp_path / "list.csv"])


def test_a_list_may_weigh_photos_name_addresses_and_say_that_nobody_looked(tmp_path: Path) -> None:
    lines = [
        {"image_uri": "https://shop.example/1.jpg", "label": "disc", "declared": True},
        {"image_uri": "s3://shop/2.jpg", "label": "bar", "weight": 0.5, "image_sha256": "ab"},
        {"image_uri": "file:///a%20b.jpg", "label": "bar", "declared": False},
    ]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, second, third = read_photos([tmp_path / "list.jsonl"])
    assert (first.path, first.declared, first.weight) == ("https://shop.example/1.jpg", True, 1.0)
    assert (second.path, second.weight, second.image_sha256) == ("s3://shop/2.jpg", 0.5, "ab")
    assert (third.path, third.declared) == ("/a b.jpg", False)


def named(label: str, count: int, *, declared: bool) -> list[LabelledPhoto]:
    return [
        LabelledPhoto(path=f"{label}{number}", labels=(label,), group="", declared=declared)
        for number in range(count)
    ]


def test_spellings_of_one_category_become_one_named_by_the_most_frequent() -> None:
    photos = named("T-Shirt", 3, declared=True) + named("t shirt", 8, declared=True)
    photos += named("Skirt", 1, declared=False)
    taxonomy = drafted_taxonomy(photos)
    assert [taxonomy.name_of(each) for each in taxonomy.ids] == ["Skirt", "t shirt"]
    assert taxonomy.find("T-SHIRT") == "t-shirt"


def test_what_senders_declare_seldom_is_no_category() -> None:
    photos = named("Trosers", 9, declared=True) + named("Trousers", 10, declared=True)
    photos += named("Skirt", 1, declared=False)
    assert drafted_taxonomy(photos).ids == ("skirt", "trousers")
