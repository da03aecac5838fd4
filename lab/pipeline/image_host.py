"""An image host that answers late: run as a process of its own, it serves files over HTTP.

`python -m lab.pipeline.image_host FOLDER DELAY_S ADDRESS …` prints its port, which is the same at
all of its addresses: to a worker each is a host of its own. Answers wait in an event loop, so that
a thousand of them may be on their way and cost next to nothing.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.local.processes import stop

SLOW = "/slow/"
SLOW_FACTOR = 60


class _Host(asyncio.Protocol):
    """HTTP/1.1 with connections that stay open; just enough of it for a GET."""

    def __init__(self, folder: Path, delay_s: float, known: dict[str, bytes]) -> None:
        self._folder, self._delay_s, self._known = folder, delay_s, known
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while b"\r\n\r\n" in self._waiting:
            head, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode("ascii").partition("?")[0]
            delay_s = self._delay_s * (SLOW_FACTOR if path.startswith(SLOW) else 1)
            asyncio.get_running_loop().call_later(delay_s, self._answer, path)

    def _answer(self, path: str) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        name = Path(path).name
        if name not in self._known:
            body = (self._folder / name).read_bytes()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}"
            self._known[name] = head.encode("ascii") + b"\r\n\r\n" + body
        self._transport.write(self._known[name])


async def _serve(folder: Path, delay_s: float, addresses: Sequence[str]) -> None:
    known: dict[str, bytes] = {}
    loop = asyncio.get_running_loop()
    port = 0
    for address in addresses:
        server = await loop.create_server(lambda: _Host(folder, delay_s, known), address, port)
        port = server.sockets[0].getsockname()[1]
    print(port, flush=True)  # noqa: T201
    await asyncio.Event().wait()


@contextmanager
def image_host(folder: Path, delay_s: float, *addresses: str) -> Iterator[tuple[str, int]]:
    """A host that answers after `delay_s`; yields its first base URL and its process id.

    addresses: of this machine; none: 127.0.0.1.

    Under `/slow/` it answers only after sixty times as long.
    """
    addresses = addresses or ("127.0.0.1",)
    command = [sys.executable, "-m", __name__, str(folder), str(delay_s), *addresses]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://{addresses[0]}:{int(process.stdout.readline())}", process.pid
    finally:
        stop([process], grace_s=2)
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]))
