"""Faults of senders: thousands of broken messages beside good jobs, on both queues."""

import time
from collections.abc import Mapping, Sequence
from itertools import islice, zip_longest

from sqlalchemy import select

from catalog.jobs import Job, MalformedJobError, parse_job, payload_subject
from catalog.status import ProductStatus
from db.engine import reading
from db.ledger.models import FailureRow, Product
from lab.faults.cases import Case, FaultResult, Scale
from lab.faults.messages import Message, drawn
from lab.faults.test_rig import FaultError, TestRig
from worker.door.admission import TASKS
from worker.door.calls import payloads
from worker.door.reading import read
from worker.door.refusals import Refusal, RefusedError
from worker.reserved import QUEUES, held

MESSAGES_PER_ITEM = 6.25
TIMEOUT_S = 180
# Beside one line for each outcome a worker says that it starts, connects and is ready.
OTHER_LINES_MAX = 100
DONE = (ProductStatus.TAGGED, ProductStatus.NEEDS_REVIEW, ProductStatus.FAILED)


def send_broken_messages(scene: TestRig, scale: Scale) -> FaultResult:
    """Every message ends in a row, whatever its bytes; good jobs among them are tagged.

    Raises:
        FaultError: a worker stopped, or its log holds a traceback.
    """
    pictures = [each.as_uri() for each in scene.pictures[:4]]
    broken = drawn(pictures, round(scale.items * MESSAGES_PER_ITEM))
    workers = dict(scene.system.workers)
    ids = _send_between(scene, scene.jobs("good", scale.items), broken)
    healed_at = time.monotonic()

    def wrong() -> int:
        scene.wait_for(lambda: not _unaccounted(scene, broken), timeout_s=TIMEOUT_S)
        scene.wait_for(lambda: not _held(scene), timeout_s=TIMEOUT_S)
        _require_quiet(scene, workers, len(broken) + len(ids))
        return len(_unaccounted(scene, broken)) + _held(scene)

    return FaultResult(ids=ids, healed_at=healed_at, wrong=wrong, note=f"{len(broken)} messages")


def _send_between(scene: TestRig, jobs: Sequence[Job], broken: Sequence[Message]) -> list[str]:
    """Some of both in turn, so that every batch holds good jobs and broken messages."""
    singles, chunked = iter(jobs[: len(jobs) // 2]), iter(jobs[len(jobs) // 2 :])
    per_turn = round(2 * MESSAGES_PER_ITEM)
    turns = zip_longest(*[iter(broken)] * per_turn)
    for turn in turns:
        scene.client.enqueue_singles(islice(singles, 1))
        scene.client.enqueue_many(islice(chunked, 1))
        for queue, raw in filter(None, turn):
            scene.redis.lpush(queue, raw)
    scene.client.enqueue_singles(singles)
    scene.client.enqueue_many(chunked)
    return [job.product_id for job in jobs]


def owed(message: Message) -> set[str]:
    """The products or dead letters in which a message must end; at least one."""
    queue, raw = message
    try:
        call = read(raw, TASKS[queue])
    except RefusedError as error:
        return {Refusal.of(raw, error).subject}
    return {_subject(each) for each in payloads(call.task, call.args, call.kwargs)}


def _subject(payload: object) -> str:
    try:
        return parse_job(payload).product_id
    except MalformedJobError:
        return payload_subject(payload)


def _unaccounted(scene: TestRig, broken: Sequence[Message]) -> list[Message]:
    with reading(scene.engine)() as session:
        found = set(session.scalars(select(FailureRow.subject)))
        found |= set(session.scalars(select(Product.id).where(Product.status.in_(DONE))))
    return [each for each in broken if not owed(each) <= found]


def _held(scene: TestRig) -> int:
    """Messages that nobody acknowledged."""
    return held(scene.redis) + sum(scene.redis.llen(each) for each in QUEUES)


def _require_quiet(scene: TestRig, workers: Mapping[str, object], messages: int) -> None:
    for name, process in workers.items():
        if scene.system.workers[name] is not process:
            raise FaultError(f"the {name} worker stopped and was started again")
        log = scene.system.log(name).read_text(errors="replace")
        if "Traceback" in log:
            raise FaultError(f"the {name} worker's log holds a traceback:\n{log[-3000:]}")
        if log.count("\n") > 2 * messages + OTHER_LINES_MAX:
            raise FaultError(f"the {name} worker wrote {log.count(chr(10))} lines")


CASES = [Case(name="messages broken at every level", play=send_broken_messages)]
