"""The loop once through, small and real: broker, database, workers and the commands."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from catalog.settings import settings
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from lab.loop.running import LoopPlan, run_loop
from tests.trainer.photos.pictures import LABELS, STRANGER, drawn
from tests.trainer.photos.small_bundle import small_bundle

pytestmark = [pytest.mark.training, pytest.mark.integration]


def write_shop(folder: Path, count: int) -> Path:
    """Photos of things on dark paper, which the bundle's network has not seen, and their list."""
    rng, rows = np.random.default_rng(5), [("path", "set", "label", "mapping")]
    folder.mkdir()
    for number in range(count):
        name = (*LABELS, STRANGER)[number % 4]
        cv2.imwrite(str(folder / f"{number}.png"), 255 - drawn(name, rng, 96))
        label = NOT_IN_TAXONOMY if name == STRANGER else name
        rows.append((f"{number}.png", "shop", label, "exact"))
    with (folder / "photos.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return folder / "photos.csv"


def test_each_round_is_reviewed_and_the_next_has_learned_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = small_bundle(tmp_path / "base")
    monkeypatch.setenv("TAGGER_BUNDLE", str(bundle.folder))
    settings.cache_clear()
    plan = LoopPlan(photos=200, rounds=2, learners=("head",))
    figures = run_loop(write_shop(tmp_path / "shop", 200), "shop", plan)
    settings.cache_clear()
    first, second = figures.rounds
    for each in (first, second):
        assert each.photos == 100
        assert each.flagged + each.accepted == 100
        assert each.reviews == each.flagged + each.audited
    assert first.model_version == bundle.manifest.model_version
    assert first.adapted is None
    assert second.adapted is not None
    if second.promoted:
        assert second.model_version != bundle.manifest.model_version
