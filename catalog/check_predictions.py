"""A network's own check: some model inputs and what the serving model says of them.

Checksums prove that a bundle arrived as it left; these prove that it also computes here what it
computed where it was made.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from catalog.bundle import CHECK, BundleError, Part

# int8 kernels round differently from one CPU to the next. On the 600 sample images the shipped
# model's logits moved by at most 2.1 % of the largest one between XNNPACK and the reference
# kernels of LiteRT (tests/worker/test_serving.py holds this).
TOLERANCE = 0.07


@dataclass(frozen=True, kw_only=True)
class CheckPredictions:
    """images: uint8 (n, *input), 0-255; logits: float32 (n, classes)."""

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]

    @property
    def tolerance(self) -> float:
        """How far a logit may be from the stored one."""
        return TOLERANCE * float(np.abs(self.logits).max())


def clear_cases(
    images: NDArray[np.uint8], logits: NDArray[np.float32], *, count: int
) -> CheckPredictions:
    """The first `count` images whose best class stays the best under any tolerated rounding.

    Raises:
        BundleError: there is none.
    """
    whole = CheckPredictions(images=images, logits=logits)
    best = np.sort(logits, axis=1)[:, -2:]
    clear = np.flatnonzero(best[:, 1] - best[:, 0] > 2 * whole.tolerance)[:count]
    if not len(clear):
        raise BundleError(
            f"Expected the serving model to be sure of some of {len(images)} images, found it sure "
            "of none. Train longer."
        )
    return CheckPredictions(images=images[clear], logits=logits[clear])


def write_check(folder: Path, check: CheckPredictions) -> None:
    """Write them into a network's folder; the manifest's checksums are the caller's."""
    np.savez_compressed(
        folder / CHECK, allow_pickle=False, images=check.images, logits=check.logits
    )


def read_check(part: Part) -> CheckPredictions:
    """Read those of one network of a bundle.

    Raises:
        BundleError: the file holds something else.
    """
    path = part.folder / CHECK
    try:
        with np.load(BytesIO(part.contents[CHECK]), allow_pickle=False) as arrays:
            images, logits = arrays["images"], arrays["logits"]
    except (OSError, KeyError, ValueError, EOFError, BadZipFile) as error:
        raise BundleError(
            f"Expected images and logits in {path}, found: {error}. Fetch the bundle again."
        ) from error
    shapes = (len(images), *part.network.input), (len(images), len(part.labels))
    if not len(images) or (images.shape, logits.shape) != shapes or images.dtype != np.uint8:
        raise BundleError(
            f"Expected {shapes[0]} uint8 images and {shapes[1]} logits in {path}, found "
            f"{images.dtype} {images.shape} and {logits.shape}. Fetch the bundle again."
        )
    return CheckPredictions(images=images, logits=logits.astype(np.float32))


def require_reproduced(part: Part, found: NDArray[np.float32]) -> None:
    """Hold the logits that the serving model gives here, float32 (n, classes), against the stored.

    Raises:
        BundleError: another class is best for an image, or a logit is further off than rounding.
    """
    check = read_check(part)
    other = int((found.argmax(axis=1) != check.logits.argmax(axis=1)).sum())
    gap = float(np.abs(found - check.logits).max())
    # Written so that a NaN does not pass.
    if other or not gap <= check.tolerance:
        raise BundleError(
            f"Expected the network {part.name} of {part.model_version} to reproduce its own check "
            f"predictions to {check.tolerance:.2g}, found logits that differ by {gap:.3g} "
            f"and {other} of {len(found)} images in another class. Do not serve it here; compare "
            "the libraries' versions with those in its manifest."
        )
