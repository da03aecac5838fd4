"""Everything on one machine: broker, database, ingest worker, bulk worker."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from catalog.errors import OperatorError
from catalog.private import private_folder
from catalog.queues import BULK_QUEUE, INGEST_QUEUE, UPKEEP_QUEUE
from catalog.settings import Settings, environment
from db import migrate
from db.engine import make_engine
from worker.local.embedded import EmbeddedBroker
from worker.local.processes import stop, tied_to_parent
from worker.serving import load_serving_bundle

# So much of a dead worker's log is shown: the end of a traceback.
LOG_TAIL_LINES = 15
# What dies sooner after its start would die again: `tagger up` ends and says why, unless it had
# lived for longer before. Between two starts it pauses, so that a fault does not take the machine.
EARLY_DEATH_S = 10.0
RESTART_PAUSE_S = 5.0
# The upkeep has nothing to do in the first seconds; importing its modules takes 1.4 s of a core
# that the workers need for theirs.
LATER = ("sh", "-c", 'sleep 2; exec "$@"', "sh")
UPKEEP_APP = "worker.upkeep"


class SystemFailedError(OperatorError):
    """A part of the system did not start, or died."""


class LocalStack:
    """The running system; made by `running`."""

    def __init__(
        self, settings: Settings, broker: EmbeddedBroker | None = None, *, app: str = "worker.app"
    ) -> None:
        self.settings = settings
        self.broker = broker
        self._app = app
        self.logs = settings.home.absolute() / "logs"
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[list[str], Mapping[str, str] | None]] = {}
        self._started: dict[str, float] = {}
        self._proven: set[str] = set()  # those that have lived for a while

    def start_workers(self, queues: Sequence[str] = (INGEST_QUEUE, BULK_QUEUE)) -> None:
        """Start the ingest worker, the bulk worker, whose decoding gives way, and the upkeep."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if INGEST_QUEUE in queues:
            self.start_worker(INGEST_QUEUE, self.settings.ingest_processes)
        if BULK_QUEUE in queues:
            self.start_worker(BULK_QUEUE, self.settings.bulk_processes)
        later = list(LATER)
        self._start(UPKEEP_QUEUE, [*later, *_worker(UPKEEP_APP, UPKEEP_QUEUE), "--pool", "solo"])
        schedule = str(self.settings.home / "beat-schedule")
        self._start(
            "beat",
            [*later, *_celery(UPKEEP_APP, "beat"), "--schedule", schedule, "--loglevel", "INFO"],
        )

    def start_worker(
        self,
        queue: str,
        processes: int,
        *,
        name: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a worker of a queue, under the queue's name or its own."""
        name = name or queue
        command = [*_worker(self._app, queue, name), "--concurrency", str(processes)]
        self._start(name, command, environment)

    def start_process(self, name: str, command: list[str], extra: Mapping[str, str]) -> None:
        """Start a process that is no worker; it is looked after and stopped like the others."""
        self._start(name, command, extra)

    def require_alive(self) -> None:
        """Raise when a process has died; the message holds the end of its log."""
        for name, process in self.workers.items():
            if process.poll() is not None:
                raise SystemFailedError(self._last_words(name))

    def keep_alive(self) -> list[str]:
        """Start again what has died, once in a while; return the names.

        Raises:
            SystemFailedError: one died just after its first start: its settings are wrong, and
                starting it again is no help. Later deaths may be the broker's or the database's
                doing, and pass.
        """
        if self.broker is not None and self.broker.process.poll() is not None:
            self.broker.restart()
        now = time.monotonic()
        for name, process in self.workers.items():
            settled = now - self._started[name] >= EARLY_DEATH_S
            if process.poll() is None:
                if settled:
                    self._proven.add(name)
            elif not settled and name not in self._proven:
                raise SystemFailedError(self._last_words(name))
        return self.restart_dead(waited_s=RESTART_PAUSE_S)

    def restart_dead(self, *, waited_s: float = 0.0) -> list[str]:
        """Start again what has died, if it was started that long ago; return the names."""
        now = time.monotonic()
        dead = [
            name
            for name, process in self.workers.items()
            if process.poll() is not None and now - self._started[name] >= waited_s
        ]
        for name in dead:
            self._start(name, *self._commands[name])
        return dead

    def log(self, name: str) -> Path:
        """The file that a process writes to."""
        return self.logs / f"{name}.log"

    def _last_words(self, name: str) -> str:
        lines = self.log(name).read_text(errors="replace").splitlines()
        tail = "\n".join(lines[-LOG_TAIL_LINES:])
        return (
            f"The {name} process stopped with exit code {self.workers[name].returncode}; the end "
            f"of {self.log(name)}:\n{tail}"
        )

    def _start(self, name: str, command: list[str], extra: Mapping[str, str] | None = None) -> None:
        self._commands[name] = command, extra
        self._started[name] = time.monotonic()
        with self.log(name).open("ab") as log:
            self.workers[name] = subprocess.Popen(
                command,
                # Not the user's folder: a `worker` or `celery` there would be imported instead.
                cwd=self.settings.home,
                env=os.environ | environment(self.settings) | dict(extra or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops them in order
                preexec_fn=tied_to_parent,
            )


def _celery(app: str, command: str) -> list[str]:
    return [sys.executable, "-m", "worker.local.celery_command", "-A", app, command]


def _worker(app: str, queue: str, name: str | None = None) -> list[str]:
    return [
        *_celery(app, "worker"), "--queues", queue, "--hostname", f"{name or queue}@%h",
        "--without-gossip", "--without-mingle", "--loglevel", "INFO",
    ]  # fmt: skip


@contextmanager
def running(settings: Settings) -> Iterator[LocalStack]:
    """Start what is missing, and stop at the end what was started.

    REDIS_URL and DATABASE_URL, where set, are used as they are; the database is migrated.
    """
    load_serving_bundle(settings.bundle)
    home = settings.home.absolute()
    private_folder(home)
    with ExitStack() as stack:
        stack.enter_context(_only_one(home))
        broker = None
        if settings.redis_url is None:
            broker = EmbeddedBroker(settings.queue_folder)
            stack.callback(broker.stop)
            settings = settings.model_copy(update={"redis_url": broker.url})
        engine = make_engine(settings.database)
        migrate.upgrade(engine)
        engine.dispose()
        system = LocalStack(
            settings.model_copy(update={"home": home, "database_url": settings.database}), broker
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
