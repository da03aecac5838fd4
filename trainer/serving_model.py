"""The serving model as the worker runs it: LiteRT on int8."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

SIGNATURE = "serve"
BATCH_SIZE = 256


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What the network says of N images, all float32.

    logits (N, classes); class_maps (N, h, w, classes), whose mean over h, w are the logits;
    embedding (N, d).
    """

    logits: NDArray[np.float32]
    class_maps: NDArray[np.float32]
    embedding: NDArray[np.float32]


class ServingModel:
    """A loaded LiteRT model."""

    def __init__(self, model: Path | bytes, threads: int = 2) -> None:
        content = model if isinstance(model, bytes) else model.read_bytes()
        self._interpreter = Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType.AUTO,
        )
        self._serve = self._interpreter.get_signature_runner(SIGNATURE)

    def __call__(self, images: NDArray[np.uint8]) -> Outputs:
        """Run uint8 (N, 28, 28, 1), 0-255, in batches."""
        parts = [
            self._serve(images=images[start : start + BATCH_SIZE])
            for start in range(0, len(images), BATCH_SIZE)
        ]
        return joined(parts)


def joined(parts: list[Mapping[str, NDArray[np.float32]]]) -> Outputs:
    """One record of several batches' outputs."""
    return Outputs(
        **{
            name: np.concatenate([np.asarray(part[name]) for part in parts])
            for name in ("logits", "class_maps", "embedding")
        }
    )
