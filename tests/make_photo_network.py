"""Makes tests/data/photo_network.tflite: `python -m tests.make_photo_network`. Needs TensorFlow.

A network that names pictures by their colour, with the outputs of a real photo network: class maps
(N, 4, 4, 10), whose mean over height and width are the logits, and an embedding (N, 8).
"""

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.photo_networks import COLOURS, MODEL, SIDE_PX

SHARPNESS = 24.0


def network() -> keras.Model:
    """Class maps by the distance to each class's colour, in shares of the full scale."""
    images = keras.Input((SIDE_PX, SIDE_PX, 3))
    small = keras.layers.AveragePooling2D(SIDE_PX // 4)(keras.layers.Rescaling(1 / 255)(images))
    colours = np.array(COLOURS, np.float32) / 255
    # Minus half the squared distance to a colour c is x·c - c²/2, up to what all classes share.
    class_maps = keras.layers.Conv2D(len(colours), 1, name="class_maps")
    embedded = keras.layers.Conv2D(8, 1, name="embedded")
    outputs = {
        "class_maps": class_maps(small),
        "embedding": keras.layers.GlobalAveragePooling2D()(embedded(small)),
    }
    class_maps.set_weights([
        SHARPNESS * colours.T[None, None], -SHARPNESS * (colours**2).sum(axis=1) / 2
    ])  # fmt: skip
    embedded.set_weights([np.eye(3, 8, dtype=np.float32)[None, None], np.zeros(8, np.float32)])
    return keras.Model(images, outputs)


def main() -> None:
    """Export it as the trainer does: one signature `serve`, uint8 images, free batch size."""
    model = network()

    def serve(images: Any) -> Any:
        return model(tf.cast(images, tf.float32), training=False)

    archive = keras.export.ExportArchive()
    archive.track(model)
    shape = tf.TensorSpec((None, SIDE_PX, SIDE_PX, 3), tf.uint8, name="images")
    archive.add_endpoint(name="serve", fn=serve, input_signature=[shape])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serve"])
        MODEL.parent.mkdir(exist_ok=True)
        Path(MODEL).write_bytes(converter.convert())


if __name__ == "__main__":
    main()
