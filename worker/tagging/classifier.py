"""The serving models: LiteRT, no TensorFlow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from catalog.bundle import Bundle, BundleError, Part
from catalog.check_predictions import read_check, require_reproduced
from catalog.images.network_input import InputKind
from catalog.networks import NetworkName
from catalog.out_of_taxonomy import SCORES, stored_parameters
from catalog.statistics import softmax

SIGNATURE = "serve"
# So much input at once, 16 photos of 160 pixels a side: 64 of them at once take 50 MB more of a
# MobileNetV2, and no less CPU. Pictures of 28 pixels all go at once.
SLICE_BYTES_MAX = 16 * 160 * 160 * 3
# What LiteRT, NumPy and zip files that verify and still are none raise.
UNUSABLE = (
    OSError,
    ValueError,
    RuntimeError,
    KeyError,
    IndexError,
    TypeError,
    EOFError,
    BadZipFile,
)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one network says of N images.

    confidences: float32 (N, classes), calibrated, rows sum to 1. class_maps: float32
    (N, h, w, classes). embedding: float32 (N, d). out_of_taxonomy: float32 (N,), higher is
    stranger.
    """

    confidences: NDArray[np.float32]
    class_maps: NDArray[np.float32]
    embedding: NDArray[np.float32]
    out_of_taxonomy: NDArray[np.float32]


class Classifier:
    """One process's copy of a bundle's networks; not thread-safe, as an interpreter is not.

    Everything is in memory once it is made: a bundle that is deleted afterwards goes on serving.

    Raises:
        BundleError: a file is unusable, or a model does not reproduce here the check predictions
            of its bundle.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        self.networks: Mapping[NetworkName, ServingNetwork] = {
            name: ServingNetwork(part, threads) for name, part in bundle.parts.items()
        }


class ServingNetwork:
    """One network in one interpreter."""

    def __init__(self, part: Part, threads: int) -> None:
        self.network = part.network
        self.kind = InputKind(network=part.name.takes_input_of, side_px=part.network.input[0])
        check = read_check(part)
        try:
            interpreter = Interpreter(model_content=part.serving_model, num_threads=threads)
            self._serve: Any = interpreter.get_signature_runner(SIGNATURE)
            self._score = SCORES[self.network.out_of_taxonomy.score]
            self._score_parameters = {
                name: np.asarray(values, np.float32)
                for name, values in stored_parameters(part).items()
            }
            logits = logits_of(self._serve(images=check.images))
            # All that a batch asks for, so that what fails fails here and not in every batch.
            self.classify(check.images[:2])
        except UNUSABLE as error:
            raise BundleError(
                f"Expected to load the network {part.name} of {part.model_version} from "
                f"{part.folder}, found {type(error).__name__}: {error}. Fetch the bundle again."
            ) from error
        require_reproduced(part, logits)

    def classify(self, images: NDArray[np.uint8]) -> Predictions:
        """Classify images, uint8 (N, height, width, channels), 0-255, as its kind wants them."""
        size = max(1, SLICE_BYTES_MAX // math.prod(self.network.input))
        parts = [
            self._classify(images[start : start + size]) for start in range(0, len(images), size)
        ]
        if len(parts) == 1:
            return parts[0]
        names = Predictions.__dataclass_fields__
        return Predictions(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        )

    def _classify(self, images: NDArray[np.uint8]) -> Predictions:
        outputs = self._serve(images=images)
        logits, embedding = logits_of(outputs), outputs["embedding"]
        return Predictions(
            confidences=softmax(logits, self.network.temperature).astype(np.float32),
            class_maps=outputs["class_maps"],
            embedding=embedding,
            out_of_taxonomy=self._score(logits, embedding, self._score_parameters),
        )


def logits_of(outputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The logits of N images, float32 (N, classes): an output, or the mean of the class maps."""
    if "logits" in outputs:
        return outputs["logits"]
    return np.asarray(outputs["class_maps"].mean(axis=(1, 2)), np.float32)
