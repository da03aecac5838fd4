"""The demo on the committed photos of clothes, with a bundle of their taxonomy."""

import csv
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.cli import main
from catalog.photo_sample import photo_sample
from catalog.settings import settings
from tests.integration.test_commands import rows, tagger

pytestmark = [pytest.mark.integration, pytest.mark.training, pytest.mark.timeout(900)]

SETTINGS = (
    "side_px=32", "epochs=3", "batch_size=8", "learning_rate=0.006", "ema_momentum=0.8", "folds=2",
    "erase_share=0", "background_share=0",
)  # fmt: skip


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle of the 17 categories, made by the command of the sample itself: it knows little."""
    listed = tmp_path / "list.csv"
    with listed.open("w", newline="") as stream:
        sheet = csv.writer(stream)
        sheet.writerow(("path", "label"))
        sheet.writerows((each.path, each.label) for each in photo_sample("clothing-17"))
    arguments = ["--photos", str(listed), "--taxonomy", "clothing-17", "--backbone", "none"]
    arguments += ["--run", str(tmp_path / "run"), "--bundle", str(tmp_path / "clothing-17")]
    for setting in SETTINGS:
        arguments += ["--set", setting]
    made = CliRunner().invoke(main, ["train", "photos", *arguments])
    assert made.exit_code == 0, made.output
    return tmp_path / "clothing-17"


def test_the_demo_tags_photos_of_clothes_with_a_bundle_of_their_taxonomy(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAGGER_BUNDLE", str(bundle))
    settings.cache_clear()
    done = tagger("demo", "--taxonomy", "clothing-17")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Products: 119" in done.stdout
    assert re.search(r"Accuracy +\d+\.\d % against the known labels", done.stdout)
    assert rows(tmp_path / "home") == {
        "products": 119, "taggings": 119, "thumbnails": 119, "failures": 0,
    }  # fmt: skip
