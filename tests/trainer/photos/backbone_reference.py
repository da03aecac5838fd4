"""What the original EfficientNet-Lite0 computes with weights that can be drawn anywhere.

`python -m tests.trainer.photos.backbone_reference`, in the environment of
trainer.photos.import_backbone, writes the fixture; the test needs neither PyTorch nor the weights.
72 pixels, so that odd sides are met on the way down.
"""

from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

FIXTURE = Path(__file__).with_name("fixtures") / "efficientnet-lite0.npz"
SIDE_PX = 72
CHANNELS = slice(None, None, 8)


def drawn_weight(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A value for the Keras weight `layer/weight`, the same everywhere."""
    rng = np.random.default_rng(crc32(name.encode()))
    kind = name.rpartition("/")[2]
    if kind == "kernel":
        # The channels of a depthwise kernel stand in its third axis, and do not add up.
        inputs = shape[0] * shape[1] * (1 if "depthwise" in name else shape[2])
        return np.asarray(rng.normal(size=shape) * np.sqrt(1 / inputs), np.float32)
    if kind in ("gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return (rng.normal(size=shape) * 0.2).astype(np.float32)


def main() -> None:
    """Put drawn weights into the original, and write its features of the reference pictures."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from trainer.photos.import_backbone import converted, reference_images

    original = EfficientNet.from_name("efficientnet-lite0", image_size=SIDE_PX).eval()
    for name, values in converted(original.state_dict()):
        if not name.startswith("imagenet/"):
            values[...] = drawn_weight(name, values.shape)  # a view of the original's own memory
    images = (reference_images()[:, :SIDE_PX, :SIDE_PX].astype(np.float32) - 127) / 128
    with torch.no_grad():
        features = original.extract_features(torch.from_numpy(images.transpose(0, 3, 1, 2)))
    np.savez_compressed(
        FIXTURE, allow_pickle=False, features=features.numpy().transpose(0, 2, 3, 1)[..., CHANNELS]
    )


if __name__ == "__main__":
    main()
