"""Photo network → LiteRT: int8 per channel, and half precision where int8 says something else.

Rounding only: what was learned stays as it is, and nothing is trained for int8.
"""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np
from numpy.typing import NDArray

from trainer.export import quantized
from trainer.photos.network import predict
from trainer.photos.rounding import rounded_network
from trainer.serving_model import ServingModel

# Averages stay in float, as in the 28×28 network; so does the way into the embedding, whose first
# values are a hundred times as large as its last.
FLOAT_OPERATIONS = ("MEAN", "FULLY_CONNECTED")
CALIBRATION_PHOTOS = 256
# Of 100 photos at least this many must get the same label from what serves and what was trained.
AGREEMENT_MIN = 0.99
# Of 1,000 at most one may get another from kernels in half precision: one that hung on a hair.
HALVED_AGREEMENT_MIN = 0.999
# Arrays of more values than this are stored in half precision: kernels, and no batch norm.
HALVED_VALUES_MIN = 4_096


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A LiteRT flatbuffer, the kind of its weights, and its agreement with the network, 0-1."""

    model: bytes
    kind: str
    agreement: float


def export_photo_network(
    explainer: keras.Model,
    shown: NDArray[np.uint8],
    checked: NDArray[np.uint8],
    wanted: NDArray[np.int64],
) -> Exported:
    """int8 where it agrees on 99 % of `checked`, else float weights in half precision.

    `shown`: training photos as they are varied, uint8 (N, S, S, 3): the range of every activation.
    `wanted`: what the network calls those that are checked, `named`.
    """
    shown = shown[:CALIBRATION_PHOTOS]
    for kind in ("int8", "float16"):
        rounded = rounded_network(explainer, shown) if kind == "int8" else explainer
        model = quantized(rounded, shown, kind=kind, float_operations=FLOAT_OPERATIONS)
        found = ServingModel(model)(checked).logits.argmax(axis=1)
        agreement = float((found == wanted).mean())
        if agreement >= AGREEMENT_MIN:
            break
    return Exported(model=model, kind=kind, agreement=agreement)


def named(explainer: keras.Model, photos: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The place of the label of each photo, int64 (N,)."""
    return np.asarray(predict(explainer, photos)["logits"].argmax(axis=1), np.int64)


def save_halved(
    explainer: keras.Model, path: Path, checked: NDArray[np.uint8], wanted: NDArray[np.int64]
) -> bool:
    """Save as .keras with its kernels in half precision, unless that changes labels of `checked`.

    Any Keras loads it: the file's values are half as wide, the model's own as wide as ever.
    """
    explainer.save(path)
    whole = path.read_bytes()
    path.write_bytes(_halved(whole))
    if (named(keras.models.load_model(path), checked) == wanted).mean() < HALVED_AGREEMENT_MIN:
        path.write_bytes(whole)
        return False
    return True


def _halved(archive: bytes) -> bytes:
    """A .keras file whose large arrays are float16."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in source.namelist():
            content = source.read(name)
            made.writestr(name, _halved_weights(content) if name.endswith(".h5") else content)
    return target.getvalue()


def _halved_weights(content: bytes) -> bytes:
    target = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as source, h5py.File(target, "w") as made:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copied = made.require_group(name)
            else:
                halved = item.dtype == np.float32 and item.size >= HALVED_VALUES_MIN
                copied = made.create_dataset(
                    name, data=item[()].astype(np.float16) if halved else item[()]
                )
            for key, value in item.attrs.items():
                copied.attrs[key] = value

        for key, value in source.attrs.items():
            made.attrs[key] = value
        source.visititems(copy)
    return target.getvalue()
