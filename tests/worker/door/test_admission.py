"""Whatever comes in, what goes on is read by Kombu, Celery and the pool without a complaint."""

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from celery import Celery
from celery.worker.request import Request
from celery_batches import SimpleRequest
from hypothesis import HealthCheck, given, settings
from kombu import Connection
from kombu.utils.json import loads

from catalog.failures import FailureCode
from catalog.queues import BULK_QUEUE, INGEST_QUEUE, RECONCILE, TAG_CHUNK, TAG_PRODUCT, UPKEEP_QUEUE
from lab.faults.messages import Message, messages
from tests.worker.door.envelopes import JOB, envelope, message
from worker.door import admission
from worker.door.admission import RECORD_REFUSAL, TASKS, admit
from worker.door.calls import payloads
from worker.door.refusals import Refusal


def ignored() -> None:
    """A task that is never run."""


app = Celery(set_as_current=False)
for name in (TAG_PRODUCT, TAG_CHUNK, RECORD_REFUSAL, RECONCILE):
    app.task(ignored, name=name, shared=False)  # not of every app in this process
app.finalize()
channel = Connection("memory://").channel()


def test_the_door_lets_in_every_task_of_the_upkeep() -> None:
    # In a process of its own: asked for its tasks, the app reads its settings once for all.
    code = "from worker import upkeep; print(*upkeep.app.tasks)"
    environment = {**os.environ, "REDIS_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    named = {each for each in done.stdout.split() if each.startswith("worker.")}
    assert named == set(TASKS[UPKEEP_QUEUE])


def arrived(raw: bytes, queue: str) -> SimpleRequest:
    """What a child is handed, after all that Kombu, Celery and celery-batches do to a message."""
    received = channel.Message(loads(admit(raw, queue).decode()), channel=channel)
    way = received.delivery_info
    assert (way["exchange"], way["routing_key"]) == ("", queue)
    request = Request(
        received, app=app, task=app.tasks[received.headers["task"]], hostname="h", decoded=False
    )
    return pickle.loads(pickle.dumps(SimpleRequest.from_request(request)))


def refusal(request: SimpleRequest) -> Refusal | None:
    (payload, *others) = payloads(request.name, request.args, request.kwargs)
    return None if others else Refusal.found_in(payload)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(messages(["file:///photos/p1.jpg"]))
def test_every_message_reaches_a_child(sent: Message) -> None:
    queue, raw = sent
    request = arrived(raw, queue)
    assert request.name in TASKS[queue]
    assert request.id.isprintable()
    assert payloads(request.name, request.args, request.kwargs)


@pytest.mark.parametrize("queue", [INGEST_QUEUE, BULK_QUEUE, UPKEEP_QUEUE])
@pytest.mark.parametrize("raw", [b"garbage", b"", b"[]", message(None)])
def test_refused_message_travels_as_its_own_refusal(raw: bytes, queue: str) -> None:
    request = arrived(raw, queue)
    assert request.name == TASKS[queue][0]
    found = refusal(request)
    assert found is not None
    outcome = found.outcome()
    assert outcome.job is None
    assert outcome.subject.startswith("payload:")


def test_refusal_that_was_put_back_is_let_in_as_it_is() -> None:
    once = admit(b"garbage", INGEST_QUEUE)
    assert refusal(arrived(once, INGEST_QUEUE)) == refusal(arrived(b"garbage", INGEST_QUEUE))
    assert loads(admit(once, INGEST_QUEUE))["headers"] == loads(once)["headers"]


def test_good_message_keeps_its_call_and_its_id() -> None:
    request = arrived(message(), INGEST_QUEUE)
    assert (request.id, request.name, request.kwargs) == ("m1", TAG_PRODUCT, JOB)


def test_two_senders_with_the_same_delivery_tag_share_no_place_in_the_record() -> None:
    tags = {loads(admit(message(), INGEST_QUEUE))["properties"]["delivery_tag"] for _ in range(9)}
    assert len(tags) == 9
    assert envelope()["properties"]["delivery_tag"] not in tags


def test_reader_that_fails_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(admission, "read", fail)
    found = refusal(arrived(message(), INGEST_QUEUE))
    assert found is not None
    assert (found.code, "report" in found.detail) == (FailureCode.NOT_A_MESSAGE.value, True)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        5,
        {},
        {"refused_message": None},
        {
            "refused_message": {
                "subject": "payload:1",
                "code": "no_such",
                "detail": "",
                "evidence": "",
            }
        },
        {
            "refused_message": {
                "subject": "p1",
                "code": "not_a_message",
                "detail": "",
                "evidence": "",
            }
        },
        {"refused_message": {"subject": 1, "code": "not_a_message", "detail": "", "evidence": ""}},
    ],
)
def test_forged_refusal_is_none(payload: object) -> None:
    assert Refusal.found_in(payload) is None


def test_tick_of_the_upkeep_keeps_its_expiry() -> None:
    headers = {"task": "worker.reconcile", "id": "m1", "expires": "2026-01-01T00:00:00+00:00"}
    on = json.loads(admit(message([[], {}, {}], headers=headers), UPKEEP_QUEUE))
    assert on["headers"]["expires"] == headers["expires"]
