"""HTTP/1.1 over one connection at a time, and connections kept for the next request.

httpcore's streams carry the bytes, llhttp (Node's parser, through httptools) reads them. httpcore's
own pool and parser cost 0.6 to 0.8 ms of CPU a picture, as much as a fifth of all the rest, and
more with every connection; this costs a quarter of it.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import httpcore
import httptools
import httpx

# Well above what hosts send, cookies, policies and early hints included.
HEAD_BYTES_MAX = 65_536
_READ_BYTES = 65_536


class Response:
    """One response as it comes; `headers` are there, the body is still on its way."""

    def __init__(self, stream: httpcore.NetworkStream, method: str, timeout_s: float) -> None:
        self._stream, self._timeout_s = stream, timeout_s
        self._has_body = method != "HEAD"
        self._reader = _Reader()

    @property
    def status(self) -> int:
        return self._reader.status

    @property
    def headers(self) -> httpx.Headers:
        return httpx.Headers(self._reader.headers)

    @property
    def may_stay_open(self) -> bool:
        """Whether its connection may serve another request: all has come, and nothing more."""
        reader = self._reader
        whole = reader.is_whole or not self._has_body
        return whole and reader.keeps_alive and not (reader.more_came or reader.parts)

    def read_head(self) -> None:
        """Read on until the headers have ended."""
        read = 0
        while not self._reader.has_head:
            data = self._stream.read(_READ_BYTES, self._timeout_s)
            if not data:
                raise httpcore.RemoteProtocolError(
                    "Server disconnected without sending a response."
                )
            read += len(data)
            self._reader.feed(data)
            if read > HEAD_BYTES_MAX and not self._reader.has_head:
                raise httpcore.RemoteProtocolError("headers without an end")

    def body(self) -> Iterator[bytes]:
        """The body, in pieces as they come."""
        reader = self._reader
        while self._has_body:
            parts, reader.parts = reader.parts, []
            yield from parts
            if reader.is_whole:
                return
            data = self._stream.read(_READ_BYTES, self._timeout_s)
            if data:
                reader.feed(data)
            elif reader.ends_with_connection:
                return
            else:
                raise httpcore.RemoteProtocolError("the connection ended before the body did")


class _Reader:
    """What llhttp tells of the bytes that it is fed."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.has_head = self.is_whole = self.keeps_alive = self.more_came = False
        self.parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)
        # Old servers end lines without a carriage return.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)

    def feed(self, data: bytes) -> None:
        """Take the next bytes; raises RemoteProtocolError where they are no HTTP."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_whole:
                raise httpcore.RemoteProtocolError(str(error)[:200]) from error
            self.more_came = True

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing else tells the body's end (RFC 9112, section 6.3)."""
        names = {name.lower() for name, _ in self.headers}
        return not names & {b"content-length", b"transfer-encoding"}

    def on_message_begin(self) -> None:
        if self.is_whole:
            self.more_came = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.has_head:  # what follows chunks is nobody's business
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self.is_whole:
            return
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self.has_head = True
            self.keeps_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        if not self.is_whole:
            self.parts.append(data)

    def on_message_complete(self) -> None:
        if self.has_head:
            self.is_whole = True
        else:
            self.headers.clear()  # of an interim response, such as early hints


# Scheme, host and port.
Place = tuple[bytes, bytes, int]


class KeptConnections:
    """Connections that wait for their next request; shared by all threads of a process."""

    def __init__(self, count_max: int, expiry_s: float) -> None:
        self._count_max, self._expiry_s = count_max, expiry_s
        self._lock = threading.Lock()
        # The one used last comes last, and is used first: the others may expire.
        self._idle: dict[Place, deque[tuple[float, httpcore.NetworkStream]]] = {}
        self._count = 0

    def take(self, place: Place) -> httpcore.NetworkStream | None:
        """One to this place that is still good."""
        while True:
            with self._lock:
                idle = self._idle.get(place)
                if not idle:
                    return None
                since, stream = idle.pop()
                self._count -= 1
                if not idle:
                    del self._idle[place]
            # Something to read can only be the host's goodbye, or what nobody asked for.
            expired = time.monotonic() - since > self._expiry_s
            if not expired and not stream.get_extra_info("is_readable"):
                return stream
            _close(stream)

    def keep(self, place: Place, stream: httpcore.NetworkStream) -> None:
        """Keep it for later; the one that waited longest goes where there are too many."""
        too_many: httpcore.NetworkStream | None = None
        with self._lock:
            self._idle.setdefault(place, deque()).append((time.monotonic(), stream))
            self._count += 1
            if self._count > self._count_max:
                oldest = min(self._idle, key=lambda each: self._idle[each][0][0])
                _, too_many = self._idle[oldest].popleft()
                self._count -= 1
                if not self._idle[oldest]:
                    del self._idle[oldest]
        if too_many is not None:
            _close(too_many)

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            streams = [stream for idle in self._idle.values() for _, stream in idle]
            self._idle.clear()
            self._count = 0
        for stream in streams:
            _close(stream)


def _close(stream: httpcore.NetworkStream) -> None:
    with suppress(OSError):
        stream.close()
