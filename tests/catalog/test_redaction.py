"""Nothing that opens a door is shown, however badly the address was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.failures import FailureCode, FetchFailure
from catalog.outcomes import Failure, Outcome
from catalog.redaction import shown_uri, without_secrets


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://img.test/a/b.jpg", "https://img.test/a/b.jpg"),
        ("https://img.test/shoe@2x.jpg", "https://img.test/shoe@2x.jpg"),
        ("http://img.test:8080/b.jpg", "http://img.test:8080/b.jpg"),
        ("http://[2001:db8::1]:80/b.jpg", "http://[2001:db8::1]:80/b.jpg"),
        ("https://img.test/b.jpg?X-Amz-Signature=S3CRET", "https://img.test/b.jpg?…"),
        ("https://img.test/b.jpg#S3CRET", "https://img.test/b.jpg#…"),
        ("https://img.test?S3CRET", "https://img.test?…"),
        ("https://user:S3CRET@img.test/b.jpg", "https://…@img.test/b.jpg"),
        ("https://S3CRET@img.test/b.jpg", "https://…@img.test/b.jpg"),
        ("https://user:S3/CRET@img.test/b.jpg", "https://…@img.test/b.jpg"),
        ("https://user:S3#CRET@img.test/b.jpg", "https://…"),
        ("https://user:12#S3CRET@img.test/b.jpg", "https://…"),
        ("https://user:12/S3CRET@img.test/b.jpg", "https://…@img.test/b.jpg"),
        ("https://user:S3@CRET@img.test/b.jpg", "https://…@img.test/b.jpg"),
        ("s3://bucket/b.jpg?S3CRET", "s3://bucket/b.jpg?…"),
        ("redis://:S3CRET@broker:6379/0", "redis://…@broker:6379/0"),
        ("redis://:S3/CRET@broker:6379/0", "redis://…@broker:6379/0"),
        ("redis://:S3#CRET@broker:6379/0", "redis://…@broker:6379/0"),
        ("redis://:S3@CRET@broker:6379/0", "redis://…@broker:6379/0"),
        ("redis://:S3CRET", "redis://…"),
        ("unix:///srv/queue/socket", "unix:///srv/queue/socket"),
        ("postgresql+psycopg://me:S3CRET@db/catalog?sslpassword=S3CRET",
         "postgresql+psycopg://…@db/catalog?…"),
        ("sqlite:////srv/tagger/catalog.db", "sqlite:////srv/tagger/catalog.db"),
        ("file:///photos/b.jpg", "file:///photos/b.jpg"),
        ("/photos/what?.jpg", "/photos/what?.jpg"),
        ("https:user:S3CRET", "https:…"),
        ("user:S3CRET@img.test/b.jpg", "user:…"),
        ("S3CRET@img.test/b.jpg?S3CRET", "img.test/b.jpg?…"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_secrets(uri: str, shown: str) -> None:
    assert shown_uri(uri) == shown
    assert shown_uri(shown) == shown
    if not uri.startswith(("/", "https:user", "user:", "S3CRET")):
        assert without_secrets(f"Expected {uri} now") == f"Expected {shown} now"


@given(st.text("S#/@?:%&=. \"'", min_size=1, max_size=12))
def test_no_password_is_shown_whatever_is_in_it(inside: str) -> None:
    password = f"S3CRET{inside}S3CRET"
    for uri in (f"https://me:{password}@img.test/b.jpg", f"redis://:{password}@broker:6379/0"):
        assert "S3CRET" not in shown_uri(uri)


@pytest.mark.parametrize(
    "text",
    [
        "fatal: (403) SignatureDoesNotMatch for Signature=S3CRET&Expires=1",
        "connection to host=db user=me password=S3CRET failed",
        "GET 'https://img.test/b.jpg?sig=S3CRET' failed, then https://a:S3CRET@b.test/",
        '{"image_uri": "https://img.test/b.jpg?token=S3CRET"}',
        "access_token=S3CRET",
    ],
)
def test_a_sentence_loses_its_secrets(text: str) -> None:
    assert "S3CRET" not in without_secrets(text)


def test_a_sentence_without_secrets_stays_as_it_is() -> None:
    text = "Expected x = 3, found y=4 at /a/b: set TAGGER_HOME=… or ask."
    assert without_secrets(text) == text


def test_failures_and_payloads_carry_none() -> None:
    text = "Expected status 200 from https://img.test/b.jpg?sig=S3CRET, found 404."
    assert "S3CRET" not in str(FetchFailure(FailureCode.NOT_FOUND, text))
    failure = Failure(code=FailureCode.INTERNAL_ERROR, detail=text)
    assert "S3CRET" not in failure.detail
    outcome = Outcome(subject="p", job=None, result=failure, payload=f'{{"image_uri": "{text}"}}')
    assert outcome.payload is not None
    assert "S3CRET" not in outcome.payload
