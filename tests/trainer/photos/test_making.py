"""From folders of photos to the files of a network, with a small one that starts from nothing."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result

from catalog.cli import main
from tests.trainer.photos.pictures import LABELS, photo_set, write_folders
from trainer.photos.cross_fitting import OutOfFold, between, choose_share
from trainer.photos.network import predict
from trainer.serving_model import ServingModel

pytestmark = pytest.mark.training

SETTINGS = (
    "side_px=32", "epochs=10", "batch_size=8", "learning_rate=0.006", "ema_momentum=0.8",
    "folds=2", "erase_share=0",
)  # fmt: skip


def train_photos(root: Path, *sources: Path) -> Result:
    arguments = ["train", "photos", "--backbone", "none", "--run", str(root / "run")]
    for source in sources:
        arguments += ["--photos", str(source)]
    for setting in SETTINGS:
        arguments += ["--set", setting]
    return CliRunner().invoke(main, arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A network of three categories, trained by the command on a folder and a list of strangers."""
    root = tmp_path_factory.mktemp("made")
    write_folders(root / "photos", 24)
    strangers = sorted((root / "photos" / "cross").iterdir())
    (root / "strangers.csv").write_text(
        "path,label\n" + "".join(f"photos/{path.name},not_in_taxonomy\n" for path in strangers)
    )
    for path in strangers:
        path.rename(root / "photos" / path.name)
    (root / "photos" / "cross").rmdir()
    return root, train_photos(root, root / "photos", root / "strangers.csv")


def test_the_command_says_what_the_network_is_worth_on_photos_held_out(
    made: tuple[Path, Result],
) -> None:
    _, result = made
    assert result.exit_code == 0, result.output
    assert "Out of fold, 72 photos:" in result.output
    assert "Strangers flagged:" in result.output
    assert "of 24, AUROC" in result.output


def test_the_files_serve_as_the_manifest_says(made: tuple[Path, Result]) -> None:
    folder = made[0] / "run" / "photo"
    fields = json.loads((folder / "network.json").read_text())
    assert fields["labels"] == sorted(LABELS)
    assert fields["input"] == [32, 32, 3]
    assert fields["metrics"]["agreement"] >= 0.99
    serve = ServingModel(folder / "model.tflite")
    with np.load(folder / "check.npz") as check:
        outputs = serve(check["images"])
        np.testing.assert_allclose(outputs.logits, check["logits"], atol=1e-4)
    for name, shape in fields["outputs"].items():
        assert list(getattr(outputs, name).shape[1:]) == shape
    assert outputs.embedding.shape[1] <= 128
    np.testing.assert_allclose(outputs.logits, outputs.class_maps.mean(axis=(1, 2)), atol=1e-3)


def test_the_stored_keras_model_is_half_as_wide_and_says_the_same(
    made: tuple[Path, Result],
) -> None:
    folder = made[0] / "run" / "photo"
    model = keras.models.load_model(folder / "model.keras")
    with np.load(folder / "check.npz") as check:
        images, logits = check["images"], check["logits"]
    np.testing.assert_array_equal(predict(model, images)["logits"].argmax(1), logits.argmax(1))
    values = sum(int(np.prod(weight.shape)) for weight in model.weights)
    assert (folder / "model.keras").stat().st_size < 3.5 * values


def test_finished_folds_are_not_trained_again(made: tuple[Path, Result]) -> None:
    root, first = made
    logs = sorted(root.glob("run/*/log.jsonl"))
    before = [log.read_text() for log in logs]
    again = train_photos(root, root / "photos", root / "strangers.csv")
    assert again.exit_code == 0, again.output
    assert [log.read_text() for log in logs] == before
    assert len(logs) == 3
    assert again.stdout.splitlines()[0] == first.stdout.splitlines()[0]


def test_an_unknown_setting_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["train", "photos", "--photos", str(tmp_path), "--set", "epoch=3"]
    )
    assert result.exit_code == 1
    assert "epochs" in result.output
    assert "found 'epoch'" in result.output


def test_the_nearest_to_the_first_weights_is_taken_that_loses_hardly_anything() -> None:
    photos = photo_set(100)
    right = photos.targets.astype(np.float32)
    poor, good = right.copy(), right.copy()
    poor[:40] = poor[:40][:, [1, 0, 2, 3]]
    good[:1] = good[:1][:, [1, 0, 2, 3]]
    found = OutOfFold(scores=np.stack([poor, good, right]), shares=(0.5, 0.7, 1.0))
    assert choose_share(found, photos) == 0.7


def test_weights_between_two_networks_are_their_weighted_mean() -> None:
    (found,) = between([np.zeros(3)], [np.full(3, 10.0)], 0.3)
    np.testing.assert_allclose(found, 3.0)
