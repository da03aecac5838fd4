"""Keras network → LiteRT: int8 weights and activations, float32 outputs, free batch size."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.fashion_mnist.augmentation import augment
from trainer.fashion_mnist.config import AugmentationConfig
from trainer.fashion_mnist.dataset import Split
from trainer.fashion_mnist.network import INPUT_SHAPE

SIGNATURE = "serve"
CALIBRATION_IMAGES = 256


def export_serving_model(explainer: keras.Model, data: Split) -> bytes:
    """The serving model as a LiteRT flatbuffer.

    `explainer` gives logits, class_maps and embedding; `data` are training images, which show
    the range of every activation.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        save_signature(explainer, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: representative_batches(data)
        # Averages stay in float: int8 logits would come in steps of 0.1 and would not equal the
        # mean of the class maps. Only this tool of the converter can leave an operation out.
        with warnings.catch_warnings():
            # TensorFlow's converter calibrates with the interpreter that it has deprecated.
            warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is deprecated")
            quantizer = tf.lite.experimental.QuantizationDebugger(
                converter=converter,
                debug_dataset=lambda: representative_batches(data),
                debug_options=tf.lite.experimental.QuantizationDebugOptions(
                    denylisted_ops=["MEAN"]
                ),
            )
            return bytes(quantizer.get_nondebug_quantized_model())


def save_signature(explainer: keras.Model, folder: Path) -> None:
    """A SavedModel whose endpoint `serve` takes uint8 images."""
    import tensorflow as tf

    def serve(images: Any) -> Any:
        return explainer(tf.cast(images, tf.float32), training=False)

    archive = keras.export.ExportArchive()
    archive.track(explainer)
    archive.add_endpoint(
        name=SIGNATURE,
        fn=serve,
        input_signature=[tf.TensorSpec((None, *INPUT_SHAPE), tf.uint8, name="images")],
    )
    archive.write_out(folder, verbose=False)


def representative_batches(data: Split) -> Iterator[tuple[str, dict[str, NDArray[np.uint8]]]]:
    """Single images under the signature's name, as the converter wants them."""
    for image in calibration_images(data):
        yield SIGNATURE, {"images": image[None]}


def calibration_images(data: Split) -> NDArray[np.uint8]:
    """Clean, varied and negative images: what int8 is not shown here, it cuts off.

    Calibrated on clean images alone, the serving model read negatives as black (20 % right, where
    the Keras model had 90 %).
    """
    clean = data.take(np.arange(min(CALIBRATION_IMAGES, len(data))))
    varied = augment(clean, AugmentationConfig(), np.random.default_rng(0))
    negatives = 255 - clean.images[: CALIBRATION_IMAGES // 8]
    return np.concatenate([clean.images, varied, negatives])
