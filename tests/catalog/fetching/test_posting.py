"""Posts go through the guards that pictures come through."""

import ssl
import time
from collections.abc import Sequence
from typing import Any

import pytest
import trustme

from catalog.failures import FetchFailure
from catalog.fetching.limits import FetchLimits
from catalog.fetching.posting import Answer, Poster
from tests.receiver import Handler, receiving

ANY_PORT = ("1-65535",)
HERE = FetchLimits(allowed_networks=("127.0.0.0/8",), allowed_ports=ANY_PORT)


def post(url: str, limits: FetchLimits = HERE, timeout_s: float = 10, **options: Any) -> Answer:
    return Poster(limits, timeout_s, **options).post(url, {"webhook-id": "m"}, b'{"a":1}')


def test_post_arrives_whole() -> None:
    with receiving() as receiver:
        assert post(receiver.url + "?key=1") == Answer(status=204, trouble=None)
    (came,) = receiver.posts
    assert came.body == b'{"a":1}'
    assert came.headers["content-type"] == "application/json"
    assert came.headers["webhook-id"] == "m"


def test_private_addresses_are_refused_unless_the_setting_allows_them() -> None:
    with receiving() as receiver:
        answer = post(receiver.url, FetchLimits(allowed_ports=ANY_PORT))
        assert receiver.posts == []
    assert answer.status is None
    assert "127.0.0.1, which is loopback" in (answer.trouble or "")
    assert "If webhooks may go there, add its network to TAGGER_ALLOWED_NETWORKS." in (
        answer.trouble or ""
    )


def test_every_address_of_a_name_is_judged_once() -> None:
    """A name that also leads inside is refused, and is not asked a second time."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1", "169.254.169.254"]

    with receiving() as receiver:
        answer = post(receiver.url.replace("127.0.0.1", "shop.example"), resolve=resolve)
        assert receiver.posts == []
    assert "169.254.169.254" in (answer.trouble or "")
    assert asked == ["shop.example"]


def test_redirect_is_not_followed() -> None:
    with receiving() as inside:

        def answer(handler: Handler, number: int) -> None:
            handler.status(307, Location=inside.url)

        with receiving(answer) as receiver:
            found = post(receiver.url)
        assert inside.posts == []
    assert found.status == 307
    assert "a redirect, which is not followed" in (found.trouble or "")


def test_receiver_that_drips_its_answer_is_left_in_time() -> None:
    def answer(handler: Handler, number: int) -> None:
        for _ in range(100):
            handler.wfile.write(b"HTTP/1.1 200 OK"[:1])
            handler.wfile.flush()
            time.sleep(0.1)

    with receiving(answer) as receiver:
        began = time.monotonic()
        found = post(receiver.url, timeout_s=1)
        took_s = time.monotonic() - began
    assert found.trouble == "Expected an answer within 1 s, found none."
    assert took_s < 8


def test_endless_answer_is_not_read() -> None:
    def answer(handler: Handler, number: int) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1_000_000):
            handler.wfile.write(b"x" * 10_000)

    with receiving(answer) as receiver:
        assert post(receiver.url).status == 200


def test_certificate_must_be_trusted() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with receiving(context=context) as receiver:
        url = receiver.url.replace("http://127.0.0.1", "https://localhost")
        assert "a certificate for localhost that can be trusted" in (post(url).trouble or "")
        assert receiver.posts == []
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        assert post(url, ssl_context=trusting) == Answer(status=204, trouble=None)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ftp://shop.example/hook", "ftp"),
        ("https://user:secret@shop.example/hook", "a user name or password"),
        ("https://shop.example:6379/hook", "found port 6379. If webhooks may go there"),
        ("shop.example/hook", "URL"),
    ],
)
def test_what_could_never_be_posted_to_is_refused_before(url: str, found: str) -> None:
    with pytest.raises(FetchFailure, match=found) as refused:
        Poster(FetchLimits(), 1.0).check(url)
    assert "secret" not in str(refused.value)
