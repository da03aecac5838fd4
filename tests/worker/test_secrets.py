"""What a picture's address opens is written nowhere but where the picture is fetched from."""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from catalog.cli import main
from catalog.settings import Settings, read_settings
from db import migrate
from db.engine import make_engine, reading
from tests.catalog.fetching.hosts import Answer, Host, host, ok, response, saying
from worker.tagging.process import make_batch_runner
from worker.watch.logs import JsonFormatter

SECRET = "S3CRET"
SIGNED = f"/b.jpg?X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}#{SECRET}"


def slamming(connection: socket.socket, request: bytes) -> bool:
    return False


ANSWERS: dict[str, Answer] = {
    "missing": saying(response("404 Not Found")),
    "broken": saying(response("500 Oops")),
    "busy": saying(response("429 Later", b"", "Retry-After: 5")),
    "refusing": saying(response("403 Forbidden", SECRET.encode())),
    "redirecting": saying(response("302 Found", b"", f"Location: {SIGNED}")),
    "misleading": saying(response("302 Found", b"", f"Location: http://me:{SECRET}@b.test/")),
    "foreign": saying(response("302 Found", b"", f"Location: ftp://b.test/{SIGNED}")),
    "nonsense": saying(response("302 Found", b"", f"Location: http://b.test:{SECRET}/")),
    "slamming": slamming,
    "short": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"),
    "no picture": saying(ok(b"<html>no picture</html>")),
}  # fmt: skip


class Uncounted:
    def batch(self, *_: object) -> None: ...

    def crash(self, reason: str) -> None: ...


@pytest.fixture
def hosts() -> Iterator[dict[str, Host]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(host(answer)) for name, answer in ANSWERS.items()}


@pytest.fixture
def chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TAGGER_HOME", str(tmp_path / "home"))
    chosen = read_settings(home=tmp_path / "home", allowed_networks=("127.0.0.0/8",))
    engine = make_engine(chosen.database)
    migrate.upgrade(engine)
    engine.dispose()
    return chosen


@pytest.fixture
def log() -> Iterator[StringIO]:
    """All that any logger says, as the workers write it."""
    written, root = StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(written), root.level
    handler.setFormatter(JsonFormatter())
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(level)
    root.removeHandler(handler)


def test_no_secret_of_an_address_is_written_anywhere(
    hosts: dict[str, Host], chosen: Settings, log: StringIO
) -> None:
    uris = {name: each.url(SIGNED) for name, each in hosts.items()}
    uris |= {
        "user": f"http://me:{SECRET}@b.test/b.jpg",
        "slash": f"http://me:{SECRET}/x@b.test/b.jpg",
        "hash": f"https://me:{SECRET}#x@b.test/b.jpg",
        "at": f"https://me:{SECRET}@x@b.test/b.jpg",
        "scheme": f"ftp://me:{SECRET}@b.test{SIGNED}",
        "none": f"me:{SECRET}@b.test/{SIGNED}",
        "store": f"s3://bucket{SIGNED}",
        "file": f"file:///b.jpg?{SECRET}",
    }
    payloads: list[object] = [{"product_id": name, "image_uri": uri} for name, uri in uris.items()]
    payloads += [{"product_id": "", "image_uri": uris["missing"]}, [uris["user"]], uris["at"]]
    ids = [f"id-{place}" for place in range(len(payloads))]
    with closing(make_batch_runner(chosen, metrics=Uncounted())) as child:
        assert child.tag_and_store(payloads, ids) == []

    tables = dump(chosen)
    assert len(tables["products"]) == len(uris)
    assert SECRET in json.dumps(tables["products"])  # or the test would prove nothing
    for row in tables["products"]:
        del row["image_uri"]
    assert SECRET not in json.dumps(tables, default=repr)
    assert "not_found" in log.getvalue()
    assert SECRET not in log.getvalue()
    told = [
        path for path in chosen.home.rglob("*") if path.is_file() and "catalog.db" not in path.name
    ]
    assert not [path for path in told if SECRET.encode() in path.read_bytes()]
    for command in (["list"], ["list", "--json"], ["show", "missing"], ["show", "at", "--json"]):
        shown = CliRunner().invoke(main, ["failures", *command])
        assert shown.exit_code == 0, shown.output
        assert SECRET not in shown.output


@pytest.mark.parametrize(
    "command", ["status", "status --json", "health ingest", "failures list", "metrics --once"]
)
def test_no_command_shows_the_passwords_of_services_that_do_not_answer(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("REDIS_URL", f"redis://me:{SECRET}@127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{SECRET}@127.0.0.1:1/catalog")
    shown = CliRunner().invoke(main, command.split())
    assert shown.output
    assert SECRET not in shown.output
    assert SECRET not in str(shown.exception)


def dump(chosen: Settings) -> dict[str, list[dict[str, object]]]:
    """Every row of every table."""
    engine = make_engine(chosen.database)
    with reading(engine)() as session:
        names = session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
        rows = {
            name: [dict(row) for row in session.execute(text(f'SELECT * FROM "{name}"')).mappings()]
            for name in names
        }
    engine.dispose()
    return rows
