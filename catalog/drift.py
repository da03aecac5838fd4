"""What a night compares of the pictures that came: by source host, in bins of a histogram."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

# The probability of any false alarm in a night, over all its comparisons.
LEVEL = 0.01
ALL_HOSTS = "all hosts"
OTHER_HOSTS = "other hosts"
FILES = "files"
FLAGGED, ACCEPTED = "flagged", "accepted"
HOST_LENGTH_MAX = 64
CHANGES_SHOWN = 3
_CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
DISTANCE_BINS = 10


class Measure(StrEnum):
    """What is compared."""

    LABEL = "label"  # what the machine called it
    CONFIDENCE = "confidence"  # in what it called it
    FLAGGED = "flagged"  # whether a person was to look
    # How far the picture's embedding is from the nearest of some that the same network of the
    # same model saw first (k-nearest-neighbour distance: Sun et al. 2022, arXiv 2204.06507).
    DISTANCE = "distance"


@dataclass(frozen=True, kw_only=True)
class Change:
    """The share of one bin among the items, before and now, 0-1."""

    bin: str
    before: float
    now: float


def host_of(image_uri: str) -> str:
    """Where a picture came from: a host, a bucket such as s3://photos, or `files`."""
    try:
        parts = urlsplit(image_uri)
        host = parts.hostname
    except ValueError:
        return OTHER_HOSTS
    if parts.scheme in ("", "file"):
        return FILES
    if not host:
        return OTHER_HOSTS
    shown = host if parts.scheme in ("http", "https") else f"{parts.scheme}://{host}"
    return shown[:HOST_LENGTH_MAX]


def confidence_bin(confidence: float) -> str:
    """Such as `0.90-0.95`: finer towards 1, where most items are."""
    at = bisect_right(_CONFIDENCES, confidence)
    low = _CONFIDENCES[at - 1] if at else 0.0
    high = _CONFIDENCES[at] if at < len(_CONFIDENCES) else 1.0
    return f"{low:g}-{high:g}"


def distance_bin(distance: float, edges: Sequence[float]) -> str:
    """Such as `tenth 10 of 10`, the farthest, by what the first pictures were among themselves.

    edges: DISTANCE_BINS - 1 of them, rising.
    """
    return f"tenth {bisect_right(edges, distance) + 1} of {DISTANCE_BINS}"


def largest_changes(before: Mapping[str, int], now: Mapping[str, int]) -> list[Change]:
    """The bins whose share moved most, the largest change first."""
    were, are = max(1, sum(before.values())), max(1, sum(now.values()))
    changes = [
        Change(bin=each, before=before.get(each, 0) / were, now=now.get(each, 0) / are)
        for each in sorted(before.keys() | now.keys())
    ]
    changes.sort(key=lambda each: abs(each.now - each.before), reverse=True)
    return changes[:CHANGES_SHOWN]


def told(changes: Sequence[Change]) -> str:
    """Such as `hat 4.0 % → 12.1 %, bag 20.3 % → 15.0 %`."""
    return ", ".join(
        f"{each.bin} {100 * each.before:.1f} % → {100 * each.now:.1f} %" for each in changes
    )
