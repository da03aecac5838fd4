"""The trained Keras model of a bundle's network: what is learnt from, and compared with."""

import keras

from catalog.bundle import KERAS_MODEL, Part


def load_source_model(part: Part) -> keras.Model:
    """Load the Keras model from the bytes that were verified with the bundle."""
    # Keras takes paths only. What it needs is in memory when it returns.
    with part.unpacked(KERAS_MODEL) as path:
        return keras.models.load_model(path)
