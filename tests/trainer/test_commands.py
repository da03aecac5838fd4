import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.bundle import load_bundle
from catalog.cli import main
from trainer.fashion_mnist.config import PRESETS, TrainConfig

pytestmark = pytest.mark.training


def invoke(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    return result.exit_code, result.output


def test_evaluate_prints_a_table_or_json(bundle_folder: Path, data_folder: Path) -> None:
    common = ("--bundle", bundle_folder, "--data-dir", data_folder, "--unverified-data")
    code, table = invoke("evaluate", *common)
    assert code == 0
    assert "Calibration\n  ece" in table
    code, text = invoke("evaluate", *common, "--json")
    assert code == 0
    assert 0 < json.loads(text)["accuracy"] <= 1


def test_train_writes_a_bundle_that_evaluate_can_measure(
    data_folder: Path, small_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "quick", small_config)
    common = ("--data-dir", data_folder, "--unverified-data")
    code, text = invoke("train", *common, "--epochs", 4, "--run", tmp_path / "run")
    assert code == 0, text
    assert "Validation accuracy" in text
    bundle = load_bundle(tmp_path / "run" / "bundle")
    assert bundle.manifest.training["config"]["epochs"] == 4
    assert (bundle.folder / "report" / "log.csv").is_file()


def test_data_show_writes_pictures_and_suspects(
    bundle_folder: Path, data_folder: Path, tmp_path: Path
) -> None:
    code, text = invoke(
        "data", "show", "--bundle", bundle_folder, "--data-dir", data_folder,
        "--unverified-data", "--out", tmp_path,
    )  # fmt: skip
    assert code == 0, text
    assert "Images by label" in text
    assert {path.name for path in tmp_path.iterdir()} == {
        "samples.png", "augmentation.png", "duplicates.png", "label_errors.png", "suspects.csv",
    }  # fmt: skip


def test_a_data_folder_that_lacks_files_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    code, text = invoke("train", "--data-dir", tmp_path, "--run", tmp_path / "run")
    assert code == 1
    assert text.startswith("Error: Expected the four files of Fashion-MNIST")
    assert "Traceback" not in text


def test_evaluate_refuses_an_empty_bundle_folder(data_folder: Path, tmp_path: Path) -> None:
    code, text = invoke("evaluate", "--bundle", tmp_path, "--data-dir", data_folder)
    assert code == 1
    assert "Expected a model bundle" in text


def test_the_commands_module_does_not_import_tensorflow_or_keras() -> None:
    program = (
        "import sys, trainer.commands; "
        "print([name for name in ('tensorflow', 'keras', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
