from pathlib import Path
from typing import Any

import cv2
import numpy as np

from catalog.taxonomy.document import drafted
from tests.trainer.photos.pictures import TAXONOMY, drawn
from trainer.photos.lists import LabelledPhoto, read_photos
from trainer.photos.reading import load_photos


def write_photo(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), drawn("disc", np.random.default_rng(seed)))


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


def labelled(path: Path, label: str, *, group: str = "", **fields: Any) -> LabelledPhoto:
    return LabelledPhoto(path=str(path), labels=(label,), group=group or str(path), **fields)


def test_of_copies_under_several_labels_the_one_that_people_gave_stays(tmp_path: Path) -> None:
    for name in ("said", "declared", "other"):
        write_photo(tmp_path / f"{name}.png", seed=name == "other")
    photos, problems = load_photos(
        [
            labelled(tmp_path / "declared.png", "bar", declared=True),
            labelled(tmp_path / "said.png", "disc"),
            labelled(tmp_path / "other.png", "bar", weight=0.25, declared=True),
        ],
        TAXONOMY,
        32,
    )
    assert [Path(path).name for path in photos.paths] == ["said.png", "other.png"]
    assert [photos.labels[place] for place in photos.targets.argmax(axis=1)] == ["disc", "bar"]
    assert "what people said stays" in problems.contradictions[0]
    assert photos.weights is not None
    assert photos.weights.tolist() == [1.0, 0.25]
    assert photos.declared is not None
    assert photos.declared.tolist() == [False, True]


def test_two_spellings_of_one_category_do_not_contradict_each_other(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_photo(tmp_path / f"{name}.png")
    photos, problems = load_photos(
        [labelled(tmp_path / "one.png", "Disc"), labelled(tmp_path / "two.png", "DISC")],
        TAXONOMY,
        32,
    )
    assert len(photos) == 2
    assert problems.contradictions == ()


def test_groups_that_share_a_picture_are_one_group(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 3)):
        write_photo(tmp_path / f"{name}.png", seed=seed)
    groups = {"a": "1", "b": "2", "c": "2", "d": "3", "e": "4"}
    listed = [
        labelled(tmp_path / f"{name}.png", "disc", group=group) for name, group in groups.items()
    ]
    photos, _ = load_photos(listed, TAXONOMY, 32)
    assert len(set(photos.groups[:4])) == 1
    assert photos.groups[4] != photos.groups[0]


def test_a_declared_label_that_no_category_has_is_said_and_left_out(tmp_path: Path) -> None:
    for number in range(4):
        write_photo(tmp_path / f"{number}.png", seed=number)
    listed = [
        labelled(tmp_path / "0.png", "disc", declared=True),
        labelled(tmp_path / "1.png", "Lampshade", declared=True),
        labelled(tmp_path / "2.png", "Lampshade", declared=True),
        labelled(tmp_path / "3.png", "Lampshade"),  # who looked at it calls it a stranger
    ]
    photos, problems = load_photos(listed, TAXONOMY, 32)
    assert photos.strange.tolist() == [False, True]
    (line,) = problems.unknown
    assert line.startswith("'Lampshade' names no category of drafted 1: 2 photos")
    assert line in problems.lines()


def test_a_label_said_in_another_taxonomy_counts_where_this_one_knows_it(tmp_path: Path) -> None:
    for number in range(4):
        write_photo(tmp_path / f"{number}.png", seed=number)
    listed = [
        labelled(tmp_path / "0.png", "disc", taxonomy="shop 1"),
        labelled(tmp_path / "1.png", "ball", taxonomy="shop 1"),
        labelled(tmp_path / "2.png", "not_in_taxonomy", taxonomy="shop 1"),
        labelled(tmp_path / "3.png", "not_in_taxonomy", taxonomy="drafted 1"),
    ]
    photos, problems = load_photos(listed, TAXONOMY, 32)
    assert [Path(path).name for path in photos.paths] == ["0.png", "3.png"]
    assert photos.strange.tolist() == [False, True]
    assert len(problems.unknown) == 2


def test_another_picture_than_the_labelled_one_and_a_forbidden_address_are_said(
    tmp_path: Path,
) -> None:
    for number in range(2):
        write_photo(tmp_path / f"{number}.png", seed=number)
    listed = [
        labelled(tmp_path / "0.png", "disc"),
        labelled(tmp_path / "1.png", "disc", image_sha256="0" * 64),
        LabelledPhoto(path="http://127.0.0.1/a.jpg", labels=("disc",), group="7"),
    ]
    photos, problems = load_photos(listed, TAXONOMY, 32)
    assert len(photos) == 1
    changed, forbidden = problems.unreadable
    assert "another picture" in changed
    assert "127.0.0.1" in forbidden


def test_photos_are_kept_larger_than_the_network_sees_them(tmp_path: Path) -> None:
    write_photo(tmp_path / "disc" / "0.png")
    photos, _ = load_photos(read_photos([tmp_path]), TAXONOMY, 32)
    assert photos.pixels.shape == (1, 40, 40, 3)
    assert photos.pixels.dtype == np.uint8
