"""Photos as a training has them: decoded, with what each may be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalog.images.cutout import cut_out
from catalog.images.model_input import WORKING_PX
from catalog.images.photo_input import fitted
from catalog.taxonomy.model import Taxonomy

# Photos are kept somewhat larger than the network sees them, so that they may be drawn nearer.
KEPT_SHARE = 1.25


@dataclass(frozen=True, kw_only=True)
class PhotoSet:
    """Decoded photos, all of the same length N. labels: the C categories' ids.

    pixels: uint8 (N, S, S, 3), letterboxed. masks: bool (N, S, S), the garment as it was cut out,
    all False where that failed. targets: bool (N, C + 1), which categories each may be, the
    strangers' last. groups: int64 (N,). paths: files or URIs. weights: float32 (N,), how much each
    counts; None: 1. declared: bool (N,), whose label nobody looked at; None: none.
    """

    labels: tuple[str, ...]
    pixels: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    targets: NDArray[np.bool_]
    groups: NDArray[np.int64]
    paths: tuple[str, ...]
    weights: NDArray[np.float32] | None = None
    declared: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def strange(self) -> NDArray[np.bool_]:
        """Which belong to no category, bool (N,)."""
        return self.targets[:, -1]

    def take(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "PhotoSet":
        """The photos at `chosen`, or where it is true."""
        return PhotoSet(
            labels=self.labels,
            pixels=self.pixels[chosen],
            masks=self.masks[chosen],
            targets=self.targets[chosen],
            groups=self.groups[chosen],
            paths=tuple(self.paths[place] for place in np.arange(len(self))[chosen]),
            weights=None if self.weights is None else self.weights[chosen],
            declared=None if self.declared is None else self.declared[chosen],
        )


def targets_of(wanted: Sequence[Sequence[str]], taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """bool (N, C + 1): which categories each may be; a name that is none of them is a stranger."""
    place = {label: number for number, label in enumerate(taxonomy.ids)}
    targets = np.zeros((len(wanted), len(place) + 1), np.bool_)
    for row, names in enumerate(wanted):
        for name in names:
            found = taxonomy.find(name)
            leaves = () if found is None else taxonomy.below(found)
            targets[row, [place[leaf] for leaf in leaves] or [len(place)]] = True
    return targets


def garment_mask(photo: NDArray[np.uint8], side_px: int) -> NDArray[np.bool_]:
    """Where the garment is in the letterboxed photo, bool (S, S); all False where that failed."""
    # The cut-out wants the photo without its padding, which it would take for a plain background.
    found = cut_out(fitted(photo, WORKING_PX))
    if found.failed:
        return np.zeros((side_px, side_px), np.bool_)
    small = fitted(found.mask.astype(np.uint8) * 255, side_px) > 127
    mask = np.zeros((side_px, side_px), np.bool_)
    top, left = ((side_px - edge) // 2 for edge in small.shape)
    mask[top : top + small.shape[0], left : left + small.shape[1]] = small
    return mask


def folds_by_group(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """A fold for each photo, int64 (N,): whole groups, each to the smallest fold so far."""
    rng = np.random.default_rng(seed)
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of_group = np.empty(len(sizes), np.int64)
    filled = np.zeros(count, np.int64)
    for group in order:
        fold_of_group[group] = smallest = int(filled.argmin())
        filled[smallest] += sizes[group]
    return fold_of_group[groups]
