"""The server as its settings make it: behind a proxy with TLS, and on the machine itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest
import uvicorn

from catalog.errors import SettingsError
from catalog.settings import read_settings
from db import migrate
from db.engine import make_engine, sessions
from db.review import reviewers
from db.review.models import CredentialKind, Role
from review.serve import bind, configured, public_address

NAME = "review.example.com"
BROWSER = {"Host": NAME, "Origin": f"https://{NAME}", "X-Forwarded-Proto": "https"}


@contextmanager
def served(**fields: object) -> Iterator[tuple[str, str]]:
    """The address of a server with these settings, and Ada's token."""
    chosen = read_settings(review_port=0, **fields)
    engine = make_engine(chosen.database)
    migrate.upgrade(engine)
    with sessions(engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, datetime.now(UTC))
        token = reviewers.issue(session, ada, CredentialKind.TOKEN, datetime.now(UTC))
    engine.dispose()
    listener = bind(chosen)
    server = uvicorn.Server(configured(chosen))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", token
    finally:
        server.should_exit = True
        thread.join(30)


def test_sign_in_behind_a_proxy_with_tls() -> None:
    with served(review_names=(NAME,)) as (url, token):
        answer = httpx.post(f"{url}/login", data={"token": token}, headers=BROWSER)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        assert "Secure" in answer.headers["set-cookie"]
        # A proxy that passes neither name nor scheme on.
        origin = {"Origin": f"https://{NAME}"}
        answer = httpx.post(f"{url}/login", data={"token": token}, headers=origin)
        assert answer.status_code == 303
        assert "Secure" in answer.headers["set-cookie"]
        other = {"Origin": "https://evil.example"}
        assert httpx.post(f"{url}/login", data={"token": token}, headers=other).status_code == 403


def test_only_its_names_and_this_machines_are_answered() -> None:
    with served(review_names=(NAME, "desk.example.com"), review_host="0.0.0.0") as (url, _):
        statuses = {
            name: httpx.get(f"{url}/healthz", headers={"Host": name}).status_code
            for name in (NAME, "desk.example.com:443", "127.0.0.1:8008", "evil.example")
        }
    assert list(statuses.values()) == [200, 200, 200, 400]


@pytest.mark.parametrize(
    ("proxies", "others"), [(("127.0.0.0/8",), 403), (("10.0.0.1",), 429)], ids=["believed", "not"]
)
def test_visitors_are_told_apart_where_their_proxy_is_believed(
    proxies: tuple[str, ...], others: int
) -> None:
    with served(review_names=(NAME,), review_proxies=proxies) as (url, token):

        def visit(address: str, secret: str = "guess") -> int:
            headers = BROWSER | {"X-Forwarded-For": address}
            return httpx.post(f"{url}/login", data={"token": secret}, headers=headers).status_code

        assert [visit("203.0.113.7") for _ in range(6)] == [403] * 5 + [429]
        assert visit("203.0.113.8") == others
        assert visit("203.0.113.7", token) == 303  # guesses lock nobody out


@pytest.mark.parametrize(
    ("fields", "address"),
    [
        ({}, "http://127.0.0.1:8008/"),
        ({"review_host": "::1"}, "http://[::1]:8008/"),
        ({"review_host": "0.0.0.0"}, "http://localhost:8008/"),
        ({"review_names": ("localhost",)}, "http://127.0.0.1:8008/"),
        ({"review_host": "0.0.0.0", "review_names": (NAME, "b.example")}, f"https://{NAME}/"),
    ],
)
def test_links_name_the_address_that_people_use(fields: dict[str, object], address: str) -> None:
    assert public_address(read_settings(**fields)) == address


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("REVIEW_NAMES", "*"),
        ("REVIEW_NAMES", "https://review.example.com"),
        ("REVIEW_NAMES", "review.example.com:443"),
        ("REVIEW_PROXIES", "*"),
        ("REVIEW_PROXIES", "proxy"),
    ],
)
def test_names_and_proxies_that_would_let_everybody_in_are_refused(
    monkeypatch: pytest.MonkeyPatch, field: str, value: str
) -> None:
    monkeypatch.setenv(f"TAGGER_{field}", value)
    with pytest.raises(SettingsError, match=f"TAGGER_{field}="):
        read_settings()
