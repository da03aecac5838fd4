"""SafeBatches by itself: what is acknowledged, what is put back, and when a batch is flushed.

Celery's requests are real; the pool is one that answers when a test says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.exceptions import TimeLimitExceeded, WorkerLostError
from celery import Celery
from celery.worker import state
from celery_batches import SimpleRequest
from kombu import Connection
from kombu.utils.json import loads

from catalog.failures import FailureCode
from catalog.queues import INGEST_QUEUE, TAG_CHUNK, TAG_PRODUCT
from db.retag.message_ids import new_message_id
from tests.worker.door.envelopes import JOB, message
from worker.batches import Crash, SafeBatches
from worker.door.admission import admit
from worker.tagging.fetch_ahead import Foreseen
from worker.tagging.identity import owner

CHILD = 4711
OTHER = JOB | {"product_id": "p2"}


@dataclass
class Job:
    """What the pool was asked to run, and the ways in which it may answer."""

    parts: list[SimpleRequest]
    alone: bool
    crash: Crash | None
    accept: Callable[[int, float], None] | None
    answer: Callable[[Any], None]
    fail: Callable[[Any], None]
    foreseen: Foreseen | None = None

    def lost(self, error: BaseException) -> None:
        self.fail(SimpleNamespace(exception=error))


class Pool:
    """A pool of processes as SafeBatches uses it."""

    num_processes = 4

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def apply_async(self, target: Any, args: tuple[Any, ...], **options: Any) -> None:
        parts, alone, crash, *foreseen = args[1]
        answers = (options.get("accept_callback"), options["callback"], options["error_callback"])
        self.jobs.append(Job(parts, alone, crash, *answers, *foreseen))


class Timer:
    """A timer that is looked at, not waited for."""

    def __init__(self) -> None:
        self.started: list[Timer] = []
        self.cancelled = False

    def call_repeatedly(self, _interval: float, _call: Callable[[], None]) -> "Timer":
        self.started.append(Timer())
        return self.started[-1]

    def cancel(self) -> None:
        self.cancelled = True


@dataclass
class Bench:
    """A task, its consumer, and what became of each message."""

    app: Celery
    task: SafeBatches
    pool: Pool = field(default_factory=Pool)
    timer: Timer = field(default_factory=Timer)
    ends: dict[str, str] = field(default_factory=dict)

    def connect(self) -> None:
        consumer = SimpleNamespace(
            pool=self.pool, timer=self.timer, hostname="h", event_dispatcher=None,
            connection_errors=(),
        )  # fmt: skip
        self.receive = self.task.Strategy(self.task, self.app, consumer)

    def deliver(self, *ids: str, call: Any = ([], JOB, {}), **headers: Any) -> None:
        """Messages of these ids arrive."""
        for each in ids:
            raw = message(call, headers={"task": self.task.name, "id": each, **headers})
            envelope = loads(admit(raw, INGEST_QUEUE).decode())
            envelope["headers"] |= headers
            received = CHANNEL.Message(envelope, channel=CHANNEL)
            self.receive(received, None, self._ack(each), self._reject(each), set())

    def _ack(self, name: str) -> Callable[..., None]:
        return lambda *_: self._end(name, "acknowledged")

    def _reject(self, name: str) -> Callable[..., None]:
        return lambda _log, _errors, requeue: self._end(name, "put back" if requeue else "lost")

    def _end(self, name: str, how: str) -> None:
        assert name not in self.ends, "ended twice"
        self.ends[name] = how


CHANNEL = Connection("memory://").channel()


def never_called(requests: list[SimpleRequest]) -> None:
    """It would be, in a child."""


def bench_of(name: str) -> Bench:
    app = Celery(set_as_current=False)
    # Shared tasks go to every app in the process, whichever is finalised first.
    task = app.task(base=SafeBatches, name=name, shared=False)(never_called)
    app.finalize()
    bench = Bench(app, app.tasks[task.name])
    bench.connect()
    return bench


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setenv("TAGGER_BATCH_SIZE", "3")
    yield bench_of(TAG_PRODUCT)
    state.reset_state()


def test_batch_is_handed_over_when_it_is_full_and_acknowledged_when_it_is_stored(
    bench: Bench,
) -> None:
    bench.deliver("a", "b")
    assert bench.pool.jobs == []
    bench.deliver("c")
    (job,) = bench.pool.jobs
    assert [part.id for part in job.parts] == ["a", "b", "c"]
    assert bench.ends == {}
    job.answer([])
    assert bench.ends == dict.fromkeys("abc", "acknowledged")


def test_batch_that_raised_in_its_child_goes_back_whole(bench: Bench) -> None:
    bench.deliver("a", "b", "c")
    bench.pool.jobs[0].answer(None)
    assert bench.ends == dict.fromkeys("abc", "put back")


def test_timer_hands_over_what_there_is_and_ends_when_there_is_nothing(bench: Bench) -> None:
    bench.deliver("a")
    (tick,) = bench.timer.started
    bench.task._do_flush()
    assert [part.id for part in bench.pool.jobs[0].parts] == ["a"]
    assert not tick.cancelled
    bench.task._do_flush()
    assert tick.cancelled
    bench.deliver("b")
    assert len(bench.timer.started) == 2


def test_flush_by_the_timer_starts_a_new_count(bench: Bench) -> None:
    bench.deliver("a", "b")
    bench.task._do_flush()
    bench.deliver("c", "d")
    assert len(bench.pool.jobs) == 1
    bench.deliver("e")
    assert [len(job.parts) for job in bench.pool.jobs] == [2, 3]


def test_while_every_child_has_a_batch_to_go_on_with_the_next_one_fills(bench: Bench) -> None:
    bench.task._line.reconnected(children=1)
    bench.deliver(*"abc", *"def", "g")
    bench.task._do_flush()
    bench.deliver("h", "i")
    bench.task._do_flush()
    for place in range(3):
        bench.pool.jobs[place].answer([])
    assert ["".join(part.id for part in job.parts) for job in bench.pool.jobs] == [
        "abc", "def", "ghi",
    ]  # fmt: skip


@pytest.mark.parametrize("died", [False, True])
def test_what_was_left_to_fill_is_needed_once_a_child_is_free(bench: Bench, died: bool) -> None:
    bench.task._line.reconnected(children=1)
    bench.deliver(*"abc", *"def", "g")
    bench.task._do_flush()
    if died:
        bench.pool.jobs[0].lost(WorkerLostError("signal 9"))
        [crash] = [job for job in bench.pool.jobs if job.crash]
        bench.pool.jobs.remove(crash)
    else:
        bench.pool.jobs[0].answer([])
    assert [part.id for part in bench.pool.jobs[1].parts] == ["d", "e", "f"]
    assert bench.pool.jobs[1].foreseen == Foreseen(uris=(JOB["image_uri"],), of_run=False)
    bench.pool.jobs[1].answer([])
    assert [part.id for part in bench.pool.jobs[2].parts] == ["g"]


def test_more_than_a_batch_in_the_buffer_is_handed_over_in_several(bench: Bench) -> None:
    bench.task.flush_every = 99
    bench.deliver(*"abcdefg")
    bench.task.flush_every = 3
    bench.task._do_flush()
    assert [len(job.parts) for job in bench.pool.jobs] == [3, 3, 1]


def test_eta_and_expiry_hold_and_drop_nothing(bench: Bench) -> None:
    bench.deliver("a", eta="2999-01-01T00:00:00+00:00")
    bench.deliver("b", expires="2001-01-01T00:00:00+00:00")
    bench.deliver("c")
    assert [part.id for part in bench.pool.jobs[0].parts] == ["a", "b", "c"]


def test_suspect_runs_alone_before_its_message_is_acknowledged(bench: Bench) -> None:
    bench.deliver("a", "b", "c")
    bench.pool.jobs[0].answer([(1, 0)])
    assert bench.ends == {"a": "acknowledged", "c": "acknowledged"}
    alone = bench.pool.jobs[1]
    assert ([part.id for part in alone.parts], alone.alone) == (["b"], True)
    alone.answer([])
    assert bench.ends["b"] == "acknowledged"


def test_chunk_with_two_suspects_waits_for_both_and_goes_back_if_one_was_not_stored() -> None:
    bench = bench_of(TAG_CHUNK)
    bench.task.flush_every = 1
    bench.deliver("a", call=([], {"jobs": [JOB, OTHER]}, {}))
    bench.task._do_flush()
    bench.pool.jobs[0].answer([(0, 0), (0, 1)])
    first, second = bench.pool.jobs[1:]
    assert first.parts[0].kwargs == {"jobs": [JOB]}
    assert second.parts[0].kwargs == {"jobs": [OTHER]}
    first.answer([])
    assert bench.ends == {}
    second.answer(None)
    assert bench.ends == {"a": "put back"}
    state.reset_state()


def test_single_job_of_a_positional_chunk_is_the_right_one() -> None:
    bench = bench_of(TAG_CHUNK)
    bench.deliver("a", call=([[JOB, OTHER]], {}, {}))
    bench.task._do_flush()
    bench.pool.jobs[0].answer([(0, 1)])
    assert (bench.pool.jobs[1].parts[0].args, bench.pool.jobs[1].parts[0].kwargs) == (
        (),
        {"jobs": [OTHER]},
    )
    state.reset_state()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WorkerLostError("signal 11"), FailureCode.PROCESSING_CRASHED),
        (TimeLimitExceeded(90), FailureCode.PROCESSING_TIMED_OUT),
        (SimpleNamespace(exc=TimeLimitExceeded(90)), FailureCode.PROCESSING_TIMED_OUT),
    ],
)
def test_crash_is_recorded_by_another_child_before_anything_goes_back(
    bench: Bench, error: Any, code: FailureCode
) -> None:
    bench.deliver("a", "b", "c")
    job = bench.pool.jobs[0]
    assert job.accept is not None
    job.accept(CHILD, 0.0)
    job.lost(error)
    record = bench.pool.jobs[1]
    assert record.crash == Crash(owner=owner(CHILD), code=code)
    assert [part.id for part in record.parts] == ["a", "b", "c"]
    assert bench.ends == {}
    record.answer([])
    assert bench.ends == dict.fromkeys("abc", "put back")


def test_batch_goes_back_also_if_its_crash_cannot_be_recorded(bench: Bench) -> None:
    bench.deliver("a", "b", "c")
    bench.pool.jobs[0].lost(WorkerLostError("signal 9"))  # before it was accepted
    assert bench.pool.jobs[1].crash == Crash(owner="", code=FailureCode.PROCESSING_CRASHED)
    bench.pool.jobs[1].lost(WorkerLostError("signal 9"))
    assert bench.ends == dict.fromkeys("abc", "put back")


def test_messages_are_active_from_acceptance_to_their_end(bench: Bench) -> None:
    bench.deliver("a", "b", "c")
    job = bench.pool.jobs[0]
    assert job.accept is not None
    job.accept(CHILD, 0.0)
    active = {request.id: request.worker_pid for request in state.active_requests}
    assert active == dict.fromkeys("abc", CHILD)
    job.answer([(0, 0)])
    assert {request.id for request in state.active_requests} == {"a"}
    bench.pool.jobs[1].accept(CHILD, 0.0)  # type: ignore[misc]
    bench.pool.jobs[1].answer([])
    assert not state.active_requests


def test_after_a_reconnect_the_old_timer_ends_and_what_is_buffered_gets_a_new_one(
    bench: Bench,
) -> None:
    bench.deliver("a")
    (old,) = bench.timer.started
    bench.timer = Timer()
    bench.connect()
    assert old.cancelled
    assert len(bench.timer.started) == 1
    bench.task._do_flush()
    assert [part.id for part in bench.pool.jobs[0].parts] == ["a"]


def test_after_a_reconnect_with_an_empty_buffer_the_next_message_starts_the_timer(
    bench: Bench,
) -> None:
    bench.deliver("a")
    bench.task._do_flush()
    bench.timer = Timer()
    bench.connect()
    assert bench.timer.started == []
    bench.deliver("b")
    assert len(bench.timer.started) == 1


def test_answer_after_a_reconnect_ends_each_delivery_once(bench: Bench) -> None:
    """The first delivery's acknowledgement may be lost; the second one is tagged for nothing."""
    bench.deliver("a", "b", "c")
    bench.connect()
    bench.pool.jobs[0].answer([])
    assert bench.ends == dict.fromkeys("abc", "acknowledged")
    bench.ends.clear()
    bench.deliver("a", "b", "c")
    bench.pool.jobs[1].answer([])
    assert bench.ends == dict.fromkeys("abc", "acknowledged")


def test_the_next_batchs_remote_pictures_travel_with_the_batch_before_it(bench: Bench) -> None:
    bench.task._line.reconnected(children=1)
    near = JOB | {"image_uri": "/photos/near.jpg"}
    for ids, job in (("abc", near), ("def", near), ("ghi", JOB), ("jkl", near)):
        for each in ids:
            bench.deliver(each, call=([], job, {}))
    assert [job.foreseen for job in bench.pool.jobs] == [None]  # nothing waited yet
    bench.pool.jobs[0].answer([])
    bench.pool.jobs[1].answer([])
    bench.pool.jobs[2].answer([])
    foreseen = [job.foreseen for job in bench.pool.jobs]
    assert foreseen == [None, Foreseen(uris=(JOB["image_uri"],) * 3, of_run=False), None, None]
    assert set(bench.ends) == set("abcdefghi")


def test_what_is_foreseen_of_a_re_tagging_run_says_so() -> None:
    bench = bench_of(TAG_CHUNK)
    bench.task._line.reconnected(children=1)
    bench.task.flush_every = 1
    far = [JOB | {"product_id": f"p{n}", "image_uri": f"https://a.shop/{n}"} for n in range(2)]
    near = [{"product_id": "near", "image_uri": "/photos/a.jpg"}]
    for each, jobs in (("a", near), ("b", near), (new_message_id(7), near + far)):
        bench.deliver(each, call=([], {"jobs": jobs}, {}))
        bench.task._do_flush()
    bench.pool.jobs[0].answer([])
    uris = ("https://a.shop/0", "https://a.shop/1")
    assert bench.pool.jobs[1].foreseen == Foreseen(uris=uris, of_run=True)
    state.reset_state()
