"""Training in bfloat16: chosen where the machine has it, as right as float32, saved as float32."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from trainer.fashion_mnist.config import (
    AUTO,
    BFLOAT16,
    FLOAT32,
    ConfigError,
    TrainConfig,
    preset,
)
from trainer.fashion_mnist.network import build_network
from trainer.fashion_mnist.precision import arithmetic, has_bfloat16, has_gpu, resolved
from trainer.fashion_mnist.train import Run, load_network, train


def cpu_info(folder: Path, flags: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text(f"processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu {flags} sse2\n")
    return path


@pytest.mark.parametrize(
    ("flags", "found"),
    [("avx2 amx_bf16", True), ("avx512_bf16", True), ("avx512f avx2", False), ("", False)],
)
def test_the_cpus_flags_say_whether_it_has_bfloat16(
    tmp_path: Path, flags: str, found: bool
) -> None:
    assert has_bfloat16(cpu_info(tmp_path, flags)) is found


def test_a_system_that_does_not_say_has_none(tmp_path: Path) -> None:
    assert not has_bfloat16(tmp_path / "none")


def test_auto_follows_the_machine_and_a_named_precision_is_kept(tmp_path: Path) -> None:
    plain = cpu_info(tmp_path, "avx2")
    assert resolved(AUTO, plain) == (BFLOAT16 if has_gpu() else FLOAT32)
    assert resolved(BFLOAT16, plain) == BFLOAT16
    made_for_it = cpu_info(tmp_path, "amx_bf16")
    assert resolved(AUTO, made_for_it) == BFLOAT16
    assert resolved(FLOAT32, made_for_it) == FLOAT32


def test_a_network_built_inside_multiplies_in_bfloat16_and_keeps_float32_weights() -> None:
    with arithmetic(BFLOAT16):
        network = build_network(preset("quick"))
    assert network.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert {variable.dtype for variable in network.weights} == {"float32"}
    assert network.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_a_run_in_bfloat16_learns_as_much_and_is_saved_as_float32(
    run: Run, small_config: TrainConfig, data_folder: Path, tmp_path: Path
) -> None:
    config = replace(small_config, precision=BFLOAT16)
    other = train(config, data_folder, tmp_path / "run", verify=False, verbose=0)
    # Of 113 validation images: the spread between seeds is as large.
    difference = other.summary["validation_accuracy"] - run.summary["validation_accuracy"]
    assert abs(difference) < 0.12
    assert other.network.get_layer("stem_conv").compute_dtype == "float32"
    loaded = load_network(other.folder)[1]
    for one, another in zip(other.network.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(one, another)


@pytest.mark.parametrize("changes", [{"precision": "float16"}, {"stem_stride": 3}])
def test_a_recipe_of_another_kind_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        preset("quick", **changes)


def test_a_stem_without_stride_sees_the_whole_picture() -> None:
    network = build_network(preset("quick", stem_stride=1))
    assert network.get_layer("stem_conv").output.shape[1:3] == (28, 28)
    assert network.get_layer("class_maps").output.shape[1:3] == (14, 14)
