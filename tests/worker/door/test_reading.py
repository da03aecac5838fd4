"""What is clear is read; what is not is refused with a reason and a cure."""

import base64
import bz2
import json
import zlib
from typing import Any

import pytest

from catalog.failures import FailureCode
from catalog.queues import TAG_CHUNK, TAG_PRODUCT
from tests.worker.door.envelopes import JOB, encoded, message
from worker.door.calls import Call, payloads
from worker.door.reading import DEPTH_MAX, MESSAGE_BYTES_MAX, read
from worker.door.refusals import RefusedError

TASKS = (TAG_PRODUCT, TAG_CHUNK)
HEADERS = {"task": TAG_PRODUCT, "id": "m1"}
PROPERTIES = {"body_encoding": "base64"}


def call(raw: bytes) -> Call:
    return read(raw, TASKS)


def refused(raw: bytes) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        call(raw)
    return error.value


def jobs(found: Call) -> list[object]:
    return payloads(found.task, found.args, found.kwargs)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def test_message_of_a_celery_client_is_read() -> None:
    found = call(message())
    assert (found.task, found.message_id, found.redelivered) == (TAG_PRODUCT, "m1", False)
    assert jobs(found) == [JOB]


@pytest.mark.parametrize(
    "raw",
    [
        message([[], JOB, []]),
        message([None, JOB, None]),
        message([{}, JOB]),
        message([list(JOB.values()), [], {}]),
        message([list(JOB.values()), None, {}]),
        message(headers=HEADERS | {"eta": "soon", "expires": [], "timelimit": 5, "stamps": 1}),
        message(headers={"task": TAG_PRODUCT}),
        message(properties={"body_encoding": "base64", "priority": "high", "delivery_info": []}),
        message(body=json.dumps([[], JOB, {}]), properties=[]),
        message(body=json.dumps([[], JOB, {}]), properties=None),
        message(**{"content-type": "application/json; charset=UTF-8"}),
        message(**{"content-type": None, "content-encoding": None}),
        message({"task": TAG_PRODUCT, "id": "m1", "args": [], "kwargs": JOB}, headers=None),
        message({"args": [], "kwargs": JOB}),
        message(
            body=base64.b64encode(zlib.compress(json.dumps([[], JOB, {}]).encode())).decode(),
            headers=HEADERS | {"compression": "application/x-gzip"},
        ),
    ],
)
def test_what_is_clear_is_read_as_it_was_meant(raw: bytes) -> None:
    assert jobs(call(raw)) == [JOB]


@pytest.mark.parametrize(
    ("raw", "code", "said"),
    [
        (b"garbage", FailureCode.NOT_A_MESSAGE, "character 0"),
        (b"", FailureCode.NOT_A_MESSAGE, "JSON"),
        (b"\xff\xfe", FailureCode.NOT_A_MESSAGE, "UTF-8"),
        (b"null", FailureCode.NOT_A_MESSAGE, "found null"),
        (b"[]", FailureCode.NOT_A_MESSAGE, "found a list"),
        (b"[" * 5000 + b"]" * 5000, FailureCode.NOT_A_MESSAGE, "nested"),
        (b'{"a":' + b"1" * 4301 + b"}", FailureCode.NOT_A_MESSAGE, "digits"),
        (json.dumps(JOB).encode(), FailureCode.NOT_A_MESSAGE, "a job without an envelope"),
        (message(headers=[1]), FailureCode.NOT_A_MESSAGE, "headers as an object, found a list"),
        (message(properties="x"), FailureCode.NOT_A_MESSAGE, "properties as an object"),
        (message(body=None), FailureCode.NOT_A_MESSAGE, "without body"),
        (message(body=""), FailureCode.UNREADABLE_BODY, "empty"),
        (message(body=[[], JOB, {}]), FailureCode.UNREADABLE_BODY, "found a list"),
        (message(body="!"), FailureCode.UNREADABLE_BODY, "character 0"),
        (message(body="abcde"), FailureCode.UNREADABLE_BODY, "base64"),
        (message(body="gICA"), FailureCode.UNREADABLE_BODY, "UTF-8"),
        (message(properties={"body_encoding": "rot13"}), FailureCode.UNREADABLE_BODY, "rot13"),
        (message(**{"content-type": "application/x-python-serialize"}),
         FailureCode.UNREADABLE_BODY, "task_serializer"),
        (message(headers=HEADERS | {"compression": "zstd"}),
         FailureCode.UNREADABLE_BODY, "compression"),
        (message(headers=HEADERS | {"compression": "gzip"}),
         FailureCode.UNREADABLE_BODY, "compressed as gzip"),
        (message([[], {"a": {"__type__": "nobody", "__value__": 1}}, {}]),
         FailureCode.UNREADABLE_BODY, "__type__"),
        (message([[], {"a": {"__type__": ["x"], "__value__": 1}}, {}]),
         FailureCode.UNREADABLE_BODY, "__type__"),
        (message([[], {"a": nested(DEPTH_MAX)}, {}]), FailureCode.UNREADABLE_BODY, "nested"),
        (message([[], {"a": nested(600)}, {}]), FailureCode.UNREADABLE_BODY, "nested"),
        (message(None), FailureCode.MALFORMED_CALL, "found null"),
        (message(5), FailureCode.MALFORMED_CALL, "found a number"),
        (message([]), FailureCode.MALFORMED_CALL, "found a list of 0"),
        (message([[], JOB, {}, {}]), FailureCode.MALFORMED_CALL, "found a list of 4"),
        (message(JOB), FailureCode.MALFORMED_CALL, "found an object"),
        (message([5, JOB, {}]), FailureCode.MALFORMED_CALL, "args as a list, found a number"),
        (message([[], "x", {}]), FailureCode.MALFORMED_CALL, "kwargs as an object, found a text"),
        (message([[], [JOB], {}]), FailureCode.MALFORMED_CALL, "kwargs as an object"),
        (message(headers=HEADERS | {"task": "worker.tag"}), FailureCode.UNKNOWN_TASK, "worker.tag"),
        (message(headers=HEADERS | {"task": None}), FailureCode.UNKNOWN_TASK, "found null"),
        (message(headers=HEADERS | {"task": []}), FailureCode.UNKNOWN_TASK, "found a list"),
        (message(headers={}), FailureCode.UNKNOWN_TASK, "found null"),
    ],
)  # fmt: skip
def test_what_is_not_clear_is_refused_with_its_reason(
    raw: bytes, code: FailureCode, said: str
) -> None:
    error = refused(raw)
    assert error.code is code
    assert said in error.detail
    assert error.detail.startswith("Expected ")
    assert error.detail.count(". ") >= 1  # what to change follows what was found


def test_nesting_as_deep_as_allowed_is_read() -> None:
    deepest = nested(DEPTH_MAX - 3)  # the body's own three levels are counted
    assert call(message([[], {"a": deepest}, {}])).kwargs == {"a": deepest}


def test_a_few_bytes_that_hold_gigabytes_are_refused_unexpanded() -> None:
    bomb = base64.b64encode(bz2.compress(b" " * (MESSAGE_BYTES_MAX + 1))).decode()
    error = refused(message(body=bomb, headers=HEADERS | {"compression": "bzip2"}))
    assert error.code is FailureCode.MESSAGE_TOO_LARGE


def test_message_larger_than_any_chunk_is_refused_unread() -> None:
    assert refused(b"x" * (MESSAGE_BYTES_MAX + 1)).code is FailureCode.MESSAGE_TOO_LARGE


@pytest.mark.parametrize(
    "found", ["x" * 500, "a\0b", "\ud800", "\x1b[2J", ["a"], {"a": 1}, 4.5, True]
)
def test_any_message_id_becomes_one_that_can_be_stored(found: object) -> None:
    ids = {call(message(headers=HEADERS | {"id": found})).message_id for _ in range(2)}
    assert len(ids) == 1  # a redelivery is known by it
    (only,) = ids
    assert len(only) <= 64
    assert only.isprintable()


@pytest.mark.parametrize("found", [None, "", [], {}])
def test_message_without_an_id_is_like_no_other(found: object) -> None:
    raw = message(headers={"task": TAG_PRODUCT, "id": found})
    assert call(raw).message_id != call(raw).message_id


@pytest.mark.parametrize(
    ("headers", "properties"),
    [({"redelivered": True}, {}), ({}, {"delivery_info": {"redelivered": True}})],
)
def test_brokers_word_of_a_redelivery_is_kept(
    headers: dict[str, object], properties: dict[str, object]
) -> None:
    raw = message(headers=HEADERS | headers, properties=PROPERTIES | properties)
    assert call(raw).redelivered


@pytest.mark.parametrize(
    ("kwargs", "found"),
    [
        ({"jobs": [JOB, 5]}, [JOB, 5]),
        ({"jobs": JOB}, [JOB]),
        ({"jobs": []}, [{"jobs": []}]),
        ({"jobs": None}, [None]),
        ({}, [{}]),
        ({"jobs": [JOB], "more": 1}, [{"jobs": [JOB], "more": 1}]),
    ],
)
def test_every_chunk_holds_something_that_can_end_in_a_row(
    kwargs: dict[str, Any], found: list[object]
) -> None:
    assert payloads(TAG_CHUNK, [], kwargs) == found


def test_body_may_come_in_clear() -> None:
    raw = message(body=encoded([[], JOB, {}]), properties={"body_encoding": "base64"})
    clear = message(body=json.dumps([[], JOB, {}]), properties={"body_encoding": "UTF-8"})
    assert call(raw) == call(clear)
