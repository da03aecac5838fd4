"""Image hosts on loopback that say exactly what a test wants, byte by byte."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# Gets the connection and one request; returns whether the connection stays open.
Answer = Callable[[socket.socket, bytes], bool]


class Host:
    """A listening socket, and what came in on it."""

    def __init__(self, answer: Answer, address: str, context: ssl.SSLContext | None) -> None:
        self._answer = answer
        self._context = context
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self.most_at_once = 0
        self._busy = 0
        self._start(self._accept)

    def url(self, path: str = "/photo.jpg", name: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{name}:{self.port}{path}"

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with suppress(OSError):
                if self._context is not None:
                    plain = connection
                    connection = self._context.wrap_socket(plain, server_side=True)
                    with self._lock:
                        self._open ^= {plain, connection}
                while request := _read_request(connection):
                    with self._lock:
                        self.requests.append(request)
                        self._busy += 1
                        self.most_at_once = max(self.most_at_once, self._busy)
                    try:
                        stays = self._answer(connection, request)
                    finally:
                        with self._lock:
                            self._busy -= 1
                    if not stays:
                        return
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()


# Long beside any machine's slowness: what hangs so long is cut off well before.
HANGS_S = 30.0
PROMPT_S = 15.0


def hang(connection: socket.socket) -> None:
    """Say nothing more until the client has gone."""
    connection.settimeout(HANGS_S)
    with suppress(OSError):
        connection.recv(1)


@contextmanager
def host(
    answer: Answer, *, address: str = "127.0.0.1", context: ssl.SSLContext | None = None
) -> Iterator[Host]:
    listening = Host(answer, address, context)
    try:
        yield listening
    finally:
        listening.close()


def saying(response: bytes, *, stays: bool = False) -> Answer:
    """Answer every request with the same bytes."""

    def answer(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response)
        return stays

    return answer


def ok(body: bytes, *headers: str) -> bytes:
    return response("200 OK", body, *headers)


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    return data
