"""Everything on one machine: broker, database, ingest worker, bulk worker."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from catalog.bundle import load_bundle
from catalog.errors import OperatorError
from catalog.jobs import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import Settings, environment
from db import migrate
from db.engine import make_engine
from worker.embedded import EmbeddedBroker
from worker.preprocessing import require_same_preprocessing
from worker.processes import stop, tied_to_parent

BULK_NICENESS = 10
LOG_TAIL_LINES = 15


class SystemFailedError(OperatorError):
    """A part of the system did not start, or died."""


class System:
    """The running system; made by `running`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.logs = settings.home.absolute() / "logs"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def start_workers(self) -> None:
        """Start the ingest worker and, at a lower CPU priority, the bulk worker."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self._start_worker(INGEST_QUEUE, self.settings.ingest_processes, [])
        self._start_worker(
            BULK_QUEUE, self.settings.bulk_processes, ["nice", "-n", str(BULK_NICENESS)]
        )

    def require_alive(self) -> None:
        """Raise when a worker has died; the message holds the end of its log."""
        for name, process in self.workers.items():
            if process.poll() is not None:
                lines = self._log(name).read_text(errors="replace").splitlines()
                tail = "\n".join(lines[-LOG_TAIL_LINES:])
                raise SystemFailedError(
                    f"The {name} worker stopped with exit code {process.returncode}; the end of "
                    f"{self._log(name)}:\n{tail}"
                )

    def _start_worker(self, queue: str, processes: int, prefix: list[str]) -> None:
        command = [
            *prefix, sys.executable, "-m", "celery", "-A", "worker.app", "worker",
            "--queues", queue, "--hostname", f"{queue}@%h", "--concurrency", str(processes),
            "--without-gossip", "--without-mingle", "--loglevel", "INFO",
        ]  # fmt: skip
        with self._log(queue).open("ab") as log:
            self.workers[queue] = subprocess.Popen(
                command,
                # Not the user's folder: a `worker` or `celery` there would be imported instead.
                cwd=self.settings.home,
                env=os.environ | environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops them in order
                preexec_fn=tied_to_parent,
            )

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


@contextmanager
def running(settings: Settings) -> Iterator[System]:
    """Start what is missing, and stop at the end what was started.

    REDIS_URL and DATABASE_URL, where set, are used as they are; the database is migrated.
    """
    require_same_preprocessing(load_bundle(settings.bundle).manifest)
    home = settings.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_only_one(home))
        if settings.redis_url is None:
            broker = EmbeddedBroker(settings.queue_folder)
            stack.callback(broker.stop)
            settings = settings.model_copy(update={"redis_url": broker.url})
        engine = make_engine(settings.database)
        migrate.upgrade(engine)
        engine.dispose()
        system = System(
            settings.model_copy(update={"home": home, "database_url": settings.database})
        )
        # Registered first, so that a worker that did start is stopped if the next one does not.
        stack.callback(lambda: stop(list(system.workers.values()), grace_s=settings.grace_period_s))
        system.start_workers()
        yield system


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the home folder's lock: two systems in one folder would fight for its files."""
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemFailedError(
                f"Expected {home} to be free, found a running tagger in it. Stop that one, or set "
                "TAGGER_HOME to another folder."
            ) from None
        yield
