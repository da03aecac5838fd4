"""The pipeline as a tutorial would write it, to measure ours against.

One Celery task for one image: Pillow decodes all of it, `model.predict` classifies a batch of one,
a GradientTape finds the Grad-CAM, one commit stores the row. TensorFlow is imported here and
nowhere else in this package; the benchmark starts this module as a program of its own.
"""

import io
import os
import sqlite3
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from celery import Celery
from PIL import Image

app = Celery("tutorial", broker=os.environ["TUTORIAL_BROKER"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=4)


@lru_cache(maxsize=1)
def _model() -> Any:
    """Two outputs: the last feature maps and the logits."""
    model = keras.models.load_model(os.environ["TUTORIAL_MODEL"], compile=False)
    return keras.Model(model.inputs, [model.get_layer("features").output, model.output["logits"]])


@app.task(name="tutorial.tag")  # type: ignore[untyped-decorator]
def tag(product_id: str, path: str) -> None:
    """Classify, explain and store one image."""
    photo = Image.open(path).convert("RGB")
    image = (255 - np.asarray(photo.convert("L").resize((28, 28)))).reshape(1, 28, 28, 1)
    model = _model()
    _, logits = model.predict(image, verbose=0)
    label = int(np.argmax(logits[0]))
    heat = Image.fromarray(np.uint8(255 * _grad_cam(model, image, label))).resize((128, 128))
    overlay = Image.blend(photo.resize((128, 128)), heat.convert("RGB"), 0.4)
    stored = io.BytesIO()
    overlay.save(stored, "JPEG")
    confidence = 1 / float(np.exp(logits[0] - logits[0].max()).sum())
    connection = sqlite3.connect(os.environ["TUTORIAL_DATABASE"], timeout=60)
    with connection:
        connection.execute(
            "INSERT INTO taggings VALUES (?, ?, ?, ?)",
            (product_id, label, confidence, stored.getvalue()),
        )
    connection.close()


def _grad_cam(model: Any, image: Any, label: int) -> Any:
    """Grad-CAM (Selvaraju et al. 2017) at the last feature maps, by automatic differentiation."""
    with tf.GradientTape() as tape:
        features, logits = model(tf.cast(image, tf.float32), training=False)
        score = logits[:, label]
    weights = tf.reduce_mean(tape.gradient(score, features), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * features, axis=-1))[0].numpy()
    return heat / max(float(heat.max()), 1e-6)
