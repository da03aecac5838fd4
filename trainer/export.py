"""Keras network → LiteRT: int8 weights and activations, float32 outputs, free batch size."""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from trainer.fashion_mnist.augmentation import augment
from trainer.fashion_mnist.config import AugmentationConfig
from trainer.fashion_mnist.dataset import Split

SIGNATURE = "serve"
CALIBRATION_IMAGES = 256


def export_serving_model(explainer: keras.Model, data: Split) -> bytes:
    """The serving model as a LiteRT flatbuffer.

    `explainer` gives logits, class_maps and embedding; `data` are training images, which show
    the range of every activation.
    """
    # Averages stay in float: int8 logits would come in steps of 0.1 and would not equal the mean of
    # the class maps.
    return quantized(explainer, calibration_images(data), float_operations=("MEAN",))


def quantized(
    explainer: keras.Model,
    images: NDArray[np.uint8],
    *,
    kind: str = "int8",
    float_operations: Sequence[str] = (),
) -> bytes:
    """A LiteRT flatbuffer of weights and activations in int8, or of weights in int8 or float16.

    images: uint8 (N, height, width, channels), which show the range of every activation.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        save_signature(explainer, Path(folder))
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "int8 weights":
            return bytes(converter.convert())
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
            return bytes(converter.convert())
        converter.representative_dataset = lambda: representative_batches(images)
        with warnings.catch_warnings():
            # TensorFlow's converter calibrates with the interpreter that it has deprecated.
            warnings.filterwarnings("ignore", message=r"(?s).*tf\.lite\.Interpreter is deprecated")
            # Only this tool of the converter can leave an operation in float.
            quantizer = tf.lite.experimental.QuantizationDebugger(
                converter=converter,
                debug_dataset=lambda: representative_batches(images),
                debug_options=tf.lite.experimental.QuantizationDebugOptions(
                    denylisted_ops=list(float_operations)
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
        input_signature=[tf.TensorSpec(explainer.input.shape, tf.uint8, name="images")],
    )
    archive.write_out(folder, verbose=False)


def representative_batches(
    images: NDArray[np.uint8],
) -> Iterator[tuple[str, dict[str, NDArray[np.uint8]]]]:
    """Single images under the signature's name, as the converter wants them."""
    for image in images:
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
