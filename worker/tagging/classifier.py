"""The serving model: LiteRT, no TensorFlow."""

from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from catalog.bundle import Bundle, BundleError
from catalog.check_predictions import read_check, require_reproduced
from catalog.out_of_taxonomy import SCORES, stored_parameters
from catalog.statistics import softmax

SIGNATURE = "serve"
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
    """What the network says of N images.

    confidences: float32 (N, 10), calibrated, rows sum to 1. class_maps: float32 (N, h, w, 10).
    embedding: float32 (N, d). out_of_taxonomy: float32 (N,), higher is stranger.
    """

    confidences: NDArray[np.float32]
    class_maps: NDArray[np.float32]
    embedding: NDArray[np.float32]
    out_of_taxonomy: NDArray[np.float32]


class Classifier:
    """One process's copy of the model; not thread-safe, as the interpreter is not.

    Everything is in memory once it is made: a bundle that is deleted afterwards goes on serving.

    Raises:
        BundleError: a file is unusable, or the model does not reproduce here the check
            predictions of its bundle.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.manifest = bundle.manifest
        check = read_check(bundle)
        try:
            interpreter = Interpreter(model_content=bundle.serving_model, num_threads=threads)
            self._serve: Any = interpreter.get_signature_runner(SIGNATURE)
            self._score = SCORES[self.manifest.out_of_taxonomy.score]
            self._score_parameters = {
                name: np.asarray(values, np.float32)
                for name, values in stored_parameters(bundle).items()
            }
            logits = self._serve(images=check.images)["logits"]
            # All that a batch asks for, so that what fails fails here and not in every batch.
            self.classify(check.images[:2])
        except UNUSABLE as error:
            raise BundleError(
                f"Expected to load {self.manifest.model_version} from {bundle.folder}, found "
                f"{type(error).__name__}: {error}. Fetch the bundle again."
            ) from error
        require_reproduced(bundle, logits)

    def classify(self, images: NDArray[np.uint8]) -> Predictions:
        """Classify images, uint8 (N, 28, 28, 1), 0-255, light garment on black."""
        outputs = self._serve(images=images)
        logits, embedding = outputs["logits"], outputs["embedding"]
        return Predictions(
            confidences=softmax(logits, self.manifest.temperature).astype(np.float32),
            class_maps=outputs["class_maps"],
            embedding=embedding,
            out_of_taxonomy=self._score(logits, embedding, self._score_parameters),
        )
