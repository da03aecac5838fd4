"""What is kept of a message can be read, shows no secret, and harms no table and no terminal."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.worker.door.envelopes import encoded, message
from worker.door.evidence import EVIDENCE_LENGTH_MAX, evidence

SIGNED = "https://user:s3cret@img.example.com/p1.jpg?X-Signature=s3cret&a=1#s3cret"


@pytest.mark.parametrize(
    "raw",
    [
        SIGNED.encode(),
        json.dumps({"image_uri": SIGNED}).encode(),
        json.dumps({"image_uri": SIGNED}).replace("/", "\\/").encode(),
        message([[], {"product_id": "p1", "image_uri": SIGNED}, {}]),
        message([[], {"jobs": [{"product_id": "p1", "image_uri": SIGNED}] * 99}, {}]),
        b'{"body": "' + encoded([[], {"image_uri": SIGNED}, {}])[:-9].encode(),
        b"\xff" + SIGNED.encode(),
    ],
)
def test_no_signature_and_no_password_is_kept(raw: bytes) -> None:
    kept = evidence(raw)
    assert "s3cret" not in kept
    assert "img.example.com" in kept
    assert "p1.jpg" in kept


@given(st.binary(max_size=200))
def test_any_bytes_become_text_for_tables_and_terminals(raw: bytes) -> None:
    assert evidence(raw).isprintable()


def test_what_is_kept_is_bounded() -> None:
    assert len(evidence(b"\0" * 10**6)) == EVIDENCE_LENGTH_MAX


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"garbage", "garbage"),
        (b"a\x1b[2Jb\0", "a\\x1b[2Jb\\x00"),
        (b"\xff", "\\xff"),
        ("é".encode(), "é"),
    ],
)
def test_what_prints_stays_and_the_rest_is_escaped(raw: bytes, kept: str) -> None:
    assert evidence(raw) == kept
