"""What the 28×28 network that helps a photo network says of photos: in one place for all.

Serving multiplies its confidences with the photo network's (`mixture` in the manifest); training
and adaptation decide by the same ones how much they are to count.
"""

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import Part
from catalog.statistics import softmax
from trainer.serving_model import ServingModel


def helpers_confidences(
    helper: Part, judge: ServingModel, images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Its own confidences of photos as it is given them, float64 (N, C).

    judge: its serving model. images: uint8 (N, 28, 28, 1).
    """
    return softmax(judge(images).logits, helper.network.temperature)
