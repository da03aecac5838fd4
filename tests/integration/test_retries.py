"""Passing failures are tried again, permanent ones are final: a real host, a real worker."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from catalog.jobs import Job
from catalog.status import ProductStatus
from db.engine import reading
from db.ledger.models import FailureRow
from db.ledger.results import results
from lab.faults.databases import SqliteDatabase
from lab.faults.test_rig import TestRig, staged

pytestmark = pytest.mark.integration
ATTEMPTS_MAX = 4
RETRY_AFTER_S = 3
LIMITS = {"allowed_networks": ("127.0.0.0/8",), "attempts_max": ATTEMPTS_MAX}


class Host(ThreadingHTTPServer):
    """An image host with good and bad days."""

    def __init__(self, picture: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.picture = picture
        self.asked: dict[str, list[float]] = defaultdict(list)

    def job(self, name: str) -> Job:
        return Job(product_id=name, image_uri=f"http://127.0.0.1:{self.server_port}/{name}")


class Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        name = self.path.strip("/")
        times = self.server.asked[name]
        times.append(time.monotonic())
        status, headers = 200, {}
        if name == "missing":
            status = 404
        elif name == "broken" or (name == "flaky" and len(times) < 3):
            status = 503
        elif name == "busy" and len(times) == 1:
            status, headers = 429, {"Retry-After": str(RETRY_AFTER_S)}
        body = self.server.picture if status == 200 else b""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[TestRig]:
    database = SqliteDatabase(tmp_path / "database")
    with staged(tmp_path / "home", database, LIMITS, bulk=False) as scene:
        yield scene


@pytest.fixture
def host(scene: TestRig) -> Iterator[Host]:
    host = Host(scene.pictures[0].read_bytes())
    thread = threading.Thread(target=host.serve_forever)
    thread.start()
    yield host
    host.shutdown()
    thread.join()
    host.server_close()


def test_each_kind_of_failure_is_met_as_its_kind_asks(scene: TestRig, host: Host) -> None:
    names = ["good", "flaky", "busy", "broken", "missing"]
    ids = scene.enqueue([host.job(name) for name in names], singles=1.0)
    scene.settle(ids, timeout_s=90)
    with reading(scene.engine)() as session:
        found = {each.product_id: each for each in results(session, ids)}
        tried = dict(session.execute(select(FailureRow.subject, FailureRow.attempts)).all())
    tagged = {ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW}
    assert {name for name in names if found[name].status in tagged} == {"good", "flaky", "busy"}
    assert found["broken"].failure_code == "http_server_error"
    assert found["missing"].failure_code == "not_found"
    assert tried == {"broken": ATTEMPTS_MAX, "missing": 1}
    asked = {name: len(host.asked[name]) for name in names}
    assert asked == {"good": 1, "flaky": 3, "busy": 2, "broken": ATTEMPTS_MAX, "missing": 1}
    first, second = host.asked["busy"]
    assert second - first >= RETRY_AFTER_S
