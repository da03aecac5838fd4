"""The door: what reaches Celery is always a message that Celery can read.

Bytes in, bytes out, before anything else looks at them. A message that can be read goes on in an
envelope that is written anew: nothing a sender wrote around its call can trouble Kombu, Celery,
celery-batches or the pool. One that cannot be read goes on as its own refusal.
"""

import base64
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from kombu.utils.json import dumps

from catalog.failures import FailureCode
from catalog.queues import (
    BULK_QUEUE,
    INGEST_QUEUE,
    PUBLISH_DUE,
    PUBLISH_RETAG,
    RECONCILE,
    START_RETAG,
    TAG_CHUNK,
    TAG_PRODUCT,
    TEND_EVENTS,
    UPKEEP_QUEUE,
    WATCH_DRIFT,
)
from worker.door.calls import Call
from worker.door.reading import read
from worker.door.refusals import Refusal, RefusedError

RECORD_REFUSAL = "worker.record_refusal"
# Which tasks may be called in each queue; the first is the one that records what is refused.
TASKS: Mapping[str, tuple[str, ...]] = {
    INGEST_QUEUE: (TAG_PRODUCT, TAG_CHUNK),
    BULK_QUEUE: (TAG_CHUNK, TAG_PRODUCT),
    UPKEEP_QUEUE: (
        RECORD_REFUSAL,
        RECONCILE,
        PUBLISH_DUE,
        START_RETAG,
        PUBLISH_RETAG,
        WATCH_DRIFT,
        TEND_EVENTS,
    ),
}


def admit(raw: bytes, queue: str) -> bytes:
    """The message, whatever its bytes, as an envelope that Celery can read."""
    tasks = TASKS[queue]
    try:
        call = read(raw, tasks)
        return _envelope(call, queue)
    except RefusedError as error:
        refused = error
    except Exception as error:  # a door that falls in lets nobody through, ever
        refused = RefusedError(
            FailureCode.NOT_A_MESSAGE,
            f"Expected a Celery message, found one that made its reader fail ({error!r:.200}). "
            "Please report this.",
        )
    refusal = Refusal.of(raw, refused)
    call = Call(task=tasks[0], message_id=uuid4().hex, args=[], kwargs=refusal.kwargs())
    return _envelope(call, queue)


def _envelope(call: Call, queue: str) -> bytes:
    """The call as Celery's protocol 2 on a virtual transport.

    The delivery tag is always a new one: under it the message stands in the broker's record of
    what is unacknowledged, and two senders may have written the same. So is its way back: that
    record puts it into `queue` again, where a sender's routing key may lead nowhere.
    """
    body = base64.b64encode(dumps([call.args, call.kwargs, {}]).encode()).decode()
    delivery: dict[str, Any] = {"exchange": "", "routing_key": queue}
    headers: dict[str, Any] = {"task": call.task, "id": call.message_id}
    if call.redelivered:
        headers["redelivered"] = delivery["redelivered"] = True
    if call.expires and queue == UPKEEP_QUEUE:
        headers["expires"] = call.expires
    properties = {
        "correlation_id": call.message_id,
        "delivery_tag": uuid4().hex,
        "delivery_info": delivery,
        "priority": call.priority,
        "body_encoding": "base64",
    }
    envelope = {
        "body": body,
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    }
    written: str = dumps(envelope)
    return written.encode()
