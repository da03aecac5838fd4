"""A shop with a labelled catalog starts from its own database, on the first day."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

from catalog.bundle import load_bundle
from catalog.cli import main
from catalog.settings import settings
from catalog.taxonomy.files import shipped, to_yaml
from db.engine import sessions
from db.ledger.accepting import accept
from tests.desk import NOON
from tests.factories import job
from tests.trainer.photos.pictures import drawn
from tests.trainer.photos.test_making import SETTINGS
from trainer.photos.lists import LabelledPhoto, LedgerList
from trainer.photos.making import chosen_taxonomy

pytestmark = pytest.mark.training

# As senders spell them.
DECLARED = {"disc": ("Disc", "DISC"), "bar": ("Bar", "bar"), "frame": ("Picture frame",) * 2}


def stock(engine: Engine, folder: Path, count: int) -> None:
    """Products with photos and declared labels, none of them tagged yet; two are declared oddly."""
    rng = np.random.default_rng(0)
    jobs = []
    for name, spellings in DECLARED.items():
        for number in range(count):
            path = folder / f"{name}-{number}.png"
            cv2.imwrite(str(path), drawn(name, rng))
            label = spellings[number % 2] if number < count - 1 else "Lampshade"
            jobs.append(job(path.stem, image_uri=path.as_uri(), declared_label=label))
    with sessions(engine).begin() as session:
        accept(session, jobs, NOON)


def test_the_first_network_is_learned_from_declared_labels(
    engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stock(engine, tmp_path, 25)
    monkeypatch.setenv("DATABASE_URL", database_url)
    settings.cache_clear()
    arguments = ["train", "photos", "--from-ledger", "--run", str(tmp_path / "run")]
    arguments += ["--bundle", str(tmp_path / "bundle")]
    for setting in SETTINGS:
        arguments += ["--set", setting]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "0 by people, 75 as declared" in result.stderr
    assert "'Lampshade' names no category of drafted 1: 3 photos" in result.stderr
    right = re.search(r"Out of fold, 72 photos: ([\d.]+)% right", result.stdout)
    assert right
    assert float(right[1]) > 70
    taxonomy = load_bundle(tmp_path / "bundle").manifest.taxonomy
    assert taxonomy.ids == ("bar", "disc", "picture-frame")
    assert {taxonomy.find(each) for each in ("DISC", "bar", "picture FRAME")} == set(taxonomy.ids)


def test_without_any_source_the_command_says_which_there_are() -> None:
    result = CliRunner().invoke(main, ["train", "photos", "--bundle", "b"])
    assert result.exit_code == 2
    assert "--from-ledger" in result.output


@pytest.mark.parametrize(
    ("labels", "chosen"),
    [(("Coat", "Pullover", "Skirt"), "fashion-mnist"), (("Coat", "Skirt", "Hoodie"), "drafted")],
)
def test_the_taxonomy_in_force_is_taken_where_it_knows_most_labels(
    tmp_path: Path, labels: tuple[str, ...], chosen: str
) -> None:
    ledger = LedgerList(photos=tmp_path / "photos.jsonl", taxonomy=tmp_path / "taxonomy.yaml")
    ledger.taxonomy.write_text(to_yaml(shipped("fashion-mnist")))
    listed = [LabelledPhoto(path=each, labels=(each,), group=each) for each in labels]
    assert chosen_taxonomy(listed, ledger).name == chosen
