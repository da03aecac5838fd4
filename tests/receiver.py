"""A receiver of webhooks behind a real socket, which behaves as it is told."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WAIT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Post:
    """One request, taken or not."""

    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def numbers(self) -> list[int]:
        return [each["id"] for each in json.loads(self.body)["data"]["events"]]


@dataclass
class Receiver:
    """What came; answer: what to do with each request, by the number of those before it."""

    answer: Callable[["Handler", int], None]
    posts: list[Post] = field(default_factory=list)
    taken: list[Post] = field(default_factory=list)
    url: str = ""

    @property
    def numbers(self) -> list[int]:
        """The events that were taken, in the order in which they came."""
        return [number for post in self.taken for number in post.numbers]


class Handler(BaseHTTPRequestHandler):
    """The answers that receivers give."""

    receiver: Receiver
    post: Post

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.post = Post(
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            at=time.monotonic(),
        )
        self.receiver.posts.append(self.post)
        self.receiver.answer(self, len(self.receiver.posts) - 1)

    def status(self, code: int, **headers: str) -> None:
        if 200 <= code < 300:
            self.receiver.taken.append(self.post)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def nonsense(self) -> None:
        self.wfile.write(b"\x00\xff what is HTTP?\r\n\r\n")

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def taking(handler: Handler, number: int) -> None:
    """Take everything."""
    handler.status(204)


@contextmanager
def receiving(
    answer: Callable[[Handler, int], None] = taking, context: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    """A running receiver; with TLS, if it has a context."""
    receiver = Receiver(answer)
    handler = type("Bound", (Handler,), {"receiver": receiver})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign] - clients hang up
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something, with patience enough for a loaded machine."""
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
