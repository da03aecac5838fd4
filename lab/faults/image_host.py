"""An image host in a thread that fails a share of its requests, as long as it is told to."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class FlakyHost(ThreadingHTTPServer):
    """Serves a folder's files; failing_share, 0-1, of the requests are answered with 503."""

    daemon_threads = True
    request_queue_size = 128
    failing_share = 0.0
    failures = 0

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Answer, directory=str(folder)))
        self._dice = random.Random(0)  # noqa: S311 - chance, no secret

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fails_now(self) -> bool:
        """Throw the dice for one request."""
        fails = self._dice.random() < self.failing_share
        self.failures += fails
        return fails


class _Answer(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FlakyHost

    def do_GET(self) -> None:
        if self.server.fails_now():
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            super().do_GET()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name
        """Say nothing: a storm would fill the terminal."""


@contextmanager
def flaky_host(folder: Path) -> Iterator[FlakyHost]:
    """A host on a free port of this machine; nothing fails before failing_share is set."""
    host = FlakyHost(folder)
    thread = Thread(target=host.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        host.shutdown()
        host.server_close()
        thread.join()
