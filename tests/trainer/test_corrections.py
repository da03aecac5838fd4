import json
from pathlib import Path
from typing import Any

import pytest

from trainer.corrections import Correction, CorrectionsError, read_corrections


def write(path: Path, *lines: dict[str, Any] | str) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def line(review_id: int, label: str, image: str = "a") -> dict[str, Any]:
    return {
        "review_id": review_id,
        "kind": "label",
        "image_uri": f"file:///{image}.jpg",
        "image_sha256": image * 64,
        "label": label,
    }


def test_plain_lines_of_uri_and_label_are_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "c.jsonl", {"image_uri": "/a.jpg", "label": "not_in_taxonomy"}, "")
    found = read_corrections(path)
    assert found.standing == (Correction(image_uri="/a.jpg", label="not_in_taxonomy"),)
    assert (found.replaced, found.retracted, found.refused) == (0, 0, ())


def test_a_later_line_of_the_same_picture_replaces_an_earlier_one(tmp_path: Path) -> None:
    moved = line(2, "shirt") | {"image_uri": "file:///moved.jpg"}
    found = read_corrections(write(tmp_path / "c.jsonl", line(1, "coat"), moved))
    assert [each.label for each in found.standing] == ["shirt"]
    assert found.replaced == 1


def test_a_retraction_takes_back_its_line_and_leaves_the_one_before_in_force(
    tmp_path: Path,
) -> None:
    retraction = line(9, "x") | {"kind": "retraction", "retracts": 2, "label": None}
    lines = (line(1, "coat"), line(2, "shirt"), line(3, "bag", "b"), retraction)
    found = read_corrections(write(tmp_path / "c.jsonl", *lines))
    assert [each.label for each in found.standing] == ["coat", "bag"]
    assert found.retracted == 1


def test_what_cannot_be_understood_is_named_and_the_rest_counts(tmp_path: Path) -> None:
    bad = (
        "{",
        "[1]",
        {"label": "bag"},
        {"image_uri": "/a", "label": "Hat"},
        {"kind": "retraction"},
    )
    found = read_corrections(write(tmp_path / "c.jsonl", *bad, line(1, "bag")))
    assert len(found.standing) == 1
    assert [text.split(":")[0] for text in found.refused] == [f"line {n}" for n in range(1, 6)]
    assert "'Hat'" in found.refused[3]


def test_bad_images_teach_nothing(tmp_path: Path) -> None:
    found = read_corrections(write(tmp_path / "c.jsonl", line(1, "bad_image"), line(2, "bag")))
    assert [each.label for each in found.standing] == ["bag"]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"image_uri": "/a", "label": "Hat"}'])
def test_a_file_without_a_correction_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.jsonl"
    path.write_bytes(content)
    with pytest.raises(CorrectionsError, match="Expected"):
        read_corrections(path)
