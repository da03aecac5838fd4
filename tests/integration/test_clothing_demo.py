"""The demo on the committed photos of clothes, with the shipped bundle of their taxonomy."""

import re
from pathlib import Path

import pytest

from tests.integration.test_commands import rows, tagger

pytestmark = pytest.mark.integration


def test_the_demo_tags_photos_of_clothes_with_the_bundle_of_their_taxonomy(tmp_path: Path) -> None:
    done = tagger("demo", "--taxonomy", "clothing-17")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Products: 119" in done.stdout
    right = re.search(r"Accuracy +(\d+\.\d) % against the known labels", done.stdout)
    assert right
    assert float(right[1]) > 60
    assert rows(tmp_path / "home") == {
        "products": 119, "taggings": 119, "thumbnails": 119, "failures": 0,
    }  # fmt: skip
