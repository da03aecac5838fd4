"""Whether a network says about the same of two pictures.

Pictures whose embeddings are near may still be told apart by what is said of them: a sandal beside
a sneaker, where a network has seen many garments and few shoes.
"""

import numpy as np
from numpy.typing import NDArray

# The least overlap of pictures in one group of look-alikes. Chosen out of fold, on photos cut out
# onto white and on Fashion-MNIST pictures dressed up as photos: of those the groups of twelve and
# more become nine tenths pure where eight tenths were, and cost fewer keys.
OVERLAP_MIN = 0.9


def overlap(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """How much confidences (N, C) and (M, C) have in common, float64 (N, M), 0-1: 1 if equal.

    The Bhattacharyya coefficient: the sum over the categories of the geometric mean of both.
    """
    ones, others = (np.sqrt(np.maximum(each, 0.0)) for each in (first, second))
    return np.asarray(ones @ others.T, np.float64)
