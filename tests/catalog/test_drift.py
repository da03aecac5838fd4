"""What falls into which bin, and how a change is told."""

import numpy as np
import pytest

from catalog.drift import (
    FILES,
    OTHER_HOSTS,
    Change,
    confidence_bin,
    distance_bin,
    host_of,
    largest_changes,
    told,
)
from catalog.drift_distances import distances, edges_of


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("https://Images.Example.com:8443/a.jpg?sig=1", "images.example.com"),
        ("http://user:secret@shop.example/a.jpg", "shop.example"),
        ("s3://shop-photos/a.jpg", "s3://shop-photos"),
        ("file:///photos/a.jpg", FILES),
        ("/photos/a.jpg", FILES),
        ("https://[::1/a.jpg", OTHER_HOSTS),
        ("https:///a.jpg", OTHER_HOSTS),
        (f"https://{'a' * 60}.example.com/a.jpg", f"{'a' * 60}.exa"),
    ],
)
def test_host_of_an_address(uri: str, host: str) -> None:
    assert host_of(uri) == host


def test_confidences_are_told_apart_near_one() -> None:
    found = [confidence_bin(each) for each in (0.0, 0.55, 0.9, 0.949, 0.997, 1.0)]
    assert found == ["0-0.1", "0.5-0.6", "0.9-0.95", "0.9-0.95", "0.995-1", "0.995-1"]


def test_a_tenth_of_the_sample_lies_in_each_bin_and_strangers_in_the_last() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(3, 1, (2_000, 32)).astype(np.float32)
    sample = known[:256]
    edges = edges_of(sample)
    found = [distance_bin(float(each), edges) for each in distances(known[256:], sample)]
    shares = [found.count(f"tenth {tenth} of 10") / len(found) for tenth in range(1, 11)]
    assert max(abs(share - 0.1) for share in shares) < 0.05
    strange = rng.normal(0, 1, (100, 32)).astype(np.float32)
    far = [distance_bin(float(each), edges) for each in distances(strange, sample)]
    assert far == ["tenth 10 of 10"] * 100


def test_the_largest_changes_are_told_first() -> None:
    changes = largest_changes({"bag": 50, "hat": 40, "shoe": 10}, {"bag": 5, "hat": 4, "shirt": 1})
    assert changes[0] == Change(bin="shirt", before=0.0, now=0.1)
    assert told(changes[:2]) == "shirt 0.0 % → 10.0 %, shoe 10.0 % → 0.0 %"
