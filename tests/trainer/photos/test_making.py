"""From folders of photos to the files of a network, with a small one that starts from nothing."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner, Result

from catalog.bundle import load_bundle
from catalog.check_predictions import read_check, require_reproduced
from catalog.cli import main
from catalog.networks import NetworkName
from catalog.settings import SHIPPED_BUNDLE
from catalog.taxonomy.files import shipped
from tests.trainer.photos.pictures import LABELS, write_folders
from trainer.photos.bundling import takes_along
from trainer.photos.network import predict
from trainer.serving_model import ServingModel

pytestmark = pytest.mark.training

SETTINGS = (
    "side_px=32", "epochs=10", "batch_size=8", "learning_rate=0.006", "ema_momentum=0.8",
    "folds=2", "erase_share=0",
)  # fmt: skip


def train_photos(root: Path, *sources: Path, options: Sequence[str] = ()) -> Result:
    arguments = ["train", "photos", "--backbone", "none", "--run", str(root / "run")]
    arguments += ["--bundle", str(root / "bundle"), "--origin", "drawn, CC0 1.0", *options]
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


def test_a_helper_of_other_categories_is_refused_before_any_training(tmp_path: Path) -> None:
    write_folders(tmp_path / "photos", 8)
    options = ["--helper", str(SHIPPED_BUNDLE)]
    result = train_photos(tmp_path, tmp_path / "photos", options=options)
    assert result.exit_code == 1
    assert "Expected a helper of the categories of" in result.output
    assert not (tmp_path / "run").exists()


def test_the_command_says_what_the_network_is_worth_on_photos_held_out(
    made: tuple[Path, Result],
) -> None:
    _, result = made
    assert result.exit_code == 0, result.output
    assert "Out of fold, 72 photos:" in result.output
    assert "Strangers flagged:" in result.output
    assert "of 24, AUROC" in result.output


def test_the_bundle_serves_as_its_manifest_says(made: tuple[Path, Result]) -> None:
    bundle = load_bundle(made[0] / "bundle")
    assert set(bundle.parts) == {NetworkName.PHOTO}  # the shipped 28×28 one has other categories
    assert bundle.manifest.labels == tuple(sorted(LABELS))
    assert bundle.manifest.data["photo"]["origin"] == "drawn, CC0 1.0"
    assert bundle.manifest.data["photo"]["photos"] == 96
    # It names the shop's own files, and bundles travel.
    assert not [name for name in bundle.manifest.files if "suspected" in name]
    assert bundle.manifest.metrics["photo"]["agreement"] >= 0.99
    part = bundle.part(NetworkName.PHOTO)
    assert part.network.input == (32, 32, 3)
    assert part.network.alike_min is not None
    outputs = ServingModel(part.serving_model)(read_check(part).images)
    require_reproduced(part, outputs.logits)
    for name, shape in part.network.outputs.items():
        assert getattr(outputs, name).shape[1:] == shape
    assert outputs.embedding.shape[1] <= 128
    np.testing.assert_allclose(outputs.logits, outputs.class_maps.mean(axis=(1, 2)), atol=1e-3)


def test_the_stored_keras_model_is_half_as_wide_and_says_the_same(
    made: tuple[Path, Result],
) -> None:
    part = load_bundle(made[0] / "bundle").part(NetworkName.PHOTO)
    model = keras.models.load_model(part.folder / "model.keras")
    check = read_check(part)
    found = predict(model, check.images)["logits"]
    np.testing.assert_array_equal(found.argmax(1), check.logits.argmax(1))
    values = sum(int(np.prod(weight.shape)) for weight in model.weights)
    assert (part.folder / "model.keras").stat().st_size < 3.5 * values


def test_the_28_by_28_network_of_the_same_categories_goes_along() -> None:
    shipped_bundle = load_bundle(SHIPPED_BUNDLE)
    assert takes_along(shipped_bundle, shipped("fashion-mnist"))
    assert not takes_along(shipped_bundle, shipped("clothing-17"))


def test_finished_folds_are_not_trained_again(made: tuple[Path, Result]) -> None:
    root, first = made
    logs = sorted(root.glob("run/*/log.jsonl"))
    before = [log.read_text() for log in logs]
    again = train_photos(root, root / "photos", root / "strangers.csv")
    assert again.exit_code == 0, again.output
    assert [log.read_text() for log in logs] == before
    assert len(logs) == 3
    assert again.stdout.splitlines()[0] == first.stdout.splitlines()[0]
    assert load_bundle(root / "bundle").manifest.model_version.startswith("drafted-")


def test_an_unknown_setting_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["train", "photos", "--photos", str(tmp_path), "--bundle", "b", "--set", "epoch=3"]
    )
    assert result.exit_code == 1
    assert "epochs" in result.output
    assert "found 'epoch'" in result.output
