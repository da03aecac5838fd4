"""Reading a message's bytes: what they ask for, or why nobody can tell.

Kombu and Celery trust their senders: they die of what is no envelope, drop what they cannot
decode, and hold a batch for what they cannot hand on. So everything is read here first, and what
is clear is mended: PHP writes an empty map as [], some write null, or no id.
"""

import base64
import bz2
import hashlib
import json
import lzma
import zlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from kombu.utils.json import loads
from kombu.utils.json import object_hook as typed

from catalog.failures import FailureCode
from catalog.jobs import canonical_json
from worker.door.calls import Call
from worker.door.refusals import RefusedError

# 256 jobs of the longest fields allowed are 9 MB when every character is escaped.
MESSAGE_BYTES_MAX = 16_000_000
# A chunk's jobs are three levels down. Pickle, on the way to a child, fails from about 330 on.
DEPTH_MAX = 100
# What the ledger's column holds; a longer id stands there by its sha256.
MESSAGE_ID_LENGTH_MAX = 64
PRIORITY_MAX = 9

_JSON = "application/json"
_HOW = "Send it with a Celery client, or write the envelope that one writes."
_EMPTY: tuple[object, ...] = (None, "", [], {})
_DECOMPRESSORS: Mapping[str, Any] = {
    **dict.fromkeys(("application/x-gzip", "gzip", "zlib"), zlib.decompressobj),
    **dict.fromkeys(("application/x-bz2", "bzip2", "bzip"), bz2.BZ2Decompressor),
    **dict.fromkeys(("application/x-lzma", "lzma", "xz"), lzma.LZMADecompressor),
}


def read(raw: bytes, tasks: Collection[str]) -> Call:
    """What the message asks for.

    Raises:
        RefusedError: it is no message, cannot be decoded, or calls none of `tasks`.
    """
    if len(raw) > MESSAGE_BYTES_MAX:
        raise RefusedError(
            FailureCode.MESSAGE_TOO_LARGE,
            f"Expected at most {MESSAGE_BYTES_MAX:,} bytes in a message, found {len(raw):,}. "
            "Send fewer jobs in one.",
        )
    envelope = _envelope(raw)
    headers, properties = _map_in(envelope, "headers"), _map_in(envelope, "properties")
    if "body" not in envelope:
        raise _no_message(_without_body(envelope))
    body = _body(envelope, headers, properties)
    if isinstance(body, Mapping):
        # Protocol 1, which some libraries still write: task and id stand in the body.
        headers = {"task": body.get("task"), "id": body.get("id"), **headers}
    args, kwargs = _arguments(body)
    return Call(
        task=_task(headers.get("task"), tasks),
        message_id=_message_id(headers.get("id")),
        args=args,
        kwargs=kwargs,
        priority=_priority(properties.get("priority")),
        redelivered=_redelivered(headers, properties),
        expires=_expiry(headers.get("expires")),
    )


def _envelope(raw: bytes) -> Mapping[str, Any]:
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _no_message(f"bytes that are no UTF-8, from byte {error.start} on") from None
    envelope = _decoded(text, FailureCode.NOT_A_MESSAGE, "a Celery message", hook=None)
    if not isinstance(envelope, dict):
        raise _no_message(kind(envelope))
    return envelope


def _without_body(envelope: Mapping[str, Any]) -> str:
    if "product_id" in envelope or "jobs" in envelope:
        return "a job without an envelope"
    return "an object without body"


def _no_message(found: str) -> RefusedError:
    return RefusedError(
        FailureCode.NOT_A_MESSAGE,
        f"Expected a Celery message, a JSON object with body, headers and properties, found "
        f"{found}. {_HOW}",
    )


def _map_in(envelope: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = envelope.get(name)
    if isinstance(found, dict):
        return found
    if found in _EMPTY:
        return {}
    raise RefusedError(
        FailureCode.NOT_A_MESSAGE, f"Expected {name} as an object, found {kind(found)}. {_HOW}"
    )


def _body(
    envelope: Mapping[str, Any], headers: Mapping[str, Any], properties: Mapping[str, Any]
) -> object:
    body = envelope["body"]
    if not isinstance(body, str) or not body:
        raise _unreadable(
            f"the body as text, found {kind(body)}", "Encode it as JSON, and that as base64."
        )
    _require_json(envelope.get("content-type"))
    data = _expanded(_bytes_of(body, properties.get("body_encoding")), headers.get("compression"))
    try:
        text = data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise _unreadable(
            f"the body as JSON in UTF-8, found other bytes from byte {error.start} on",
            "Encode it as UTF-8, and name its body_encoding and compression if it has one.",
        ) from None
    return _decoded(text, FailureCode.UNREADABLE_BODY, "the body")


def _require_json(content_type: object) -> None:
    """Without a content type it is tried all the same."""
    if content_type in _EMPTY:
        return
    if isinstance(content_type, str) and content_type.split(";")[0].strip().lower() == _JSON:
        return
    found = f"{content_type!r:.80}" if isinstance(content_type, str) else kind(content_type)
    raise _unreadable(
        f"the content type {_JSON}, found {found}", "Set the sender's task_serializer to json."
    )


def _bytes_of(body: str, encoding: object) -> bytes:
    if encoding in _EMPTY or (isinstance(encoding, str) and encoding.lower() == "utf-8"):
        return body.encode("utf-8", "surrogatepass")
    if encoding != "base64":
        found = f"{encoding!r:.80}" if isinstance(encoding, str) else kind(encoding)
        raise _unreadable(
            f"the body_encoding base64 or utf-8, found {found}", "Name the one that was used."
        )
    try:
        return base64.b64decode(body)
    except ValueError:
        raise _unreadable("a body in base64, found other text", "Encode it anew.") from None


def _expanded(data: bytes, compression: object) -> bytes:
    if compression in _EMPTY:
        return data
    make = _DECOMPRESSORS.get(compression) if isinstance(compression, str) else None
    if make is None:
        raise _unreadable(
            "the compression gzip, bzip2 or lzma, or none, found another",
            "Set the sender's task_compression.",
        )
    try:
        # Bounded: a few bytes can hold gigabytes.
        expanded: bytes = make().decompress(data, MESSAGE_BYTES_MAX + 1)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        raise _unreadable(
            f"a body compressed as {compression}, found other bytes",
            "Name the compression that was used.",
        ) from None
    if len(expanded) > MESSAGE_BYTES_MAX:
        raise RefusedError(
            FailureCode.MESSAGE_TOO_LARGE,
            f"Expected a body of at most {MESSAGE_BYTES_MAX:,} bytes, found one that expands to "
            "more. Send fewer jobs in one message.",
        )
    return expanded


def _decoded(
    text: str, code: FailureCode, what: str, hook: Callable[[dict[str, Any]], object] | None = typed
) -> object:
    try:
        found = loads(text, object_hook=hook)
    except json.JSONDecodeError as error:
        problem = f"text that is none: {error.msg} at character {error.pos}"
    except RecursionError:
        problem = "one that is nested too deeply"
    except Exception as error:  # whatever the decoders of Celery's __type__ objects raise
        digits = "digits" in str(error)
        problem = "a number of too many digits" if digits else "a __type__ that cannot be read"
    else:
        if not _is_nested_deeper(found, DEPTH_MAX):
            return found
        problem = "one that is nested too deeply"
    raise RefusedError(code, f"Expected {what} as JSON, found {problem}. {_HOW}")


def _is_nested_deeper(value: object, levels: int) -> bool:
    """Level by level, as a recursion would fail of what it looks for."""
    level = [value]
    for _ in range(levels):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return False
    return True


def _inside(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _arguments(body: object) -> tuple[list[Any], dict[str, Any]]:
    """args and kwargs; callbacks and the like, which may come third, mean nothing here."""
    if isinstance(body, list) and len(body) in (2, 3):
        args, kwargs = body[:2]
    elif isinstance(body, dict) and {"task", "args", "kwargs"} & set(body):
        args, kwargs = body.get("args"), body.get("kwargs")
    else:
        found = f"a list of {len(body)}" if isinstance(body, list) else kind(body)
        raise _malformed(
            f"the body as [args, kwargs, embed], found {found}",
            'For a job that is [[], {"product_id": …, "image_uri": …}, {}].',
        )
    args, kwargs = ([] if args in _EMPTY else args), ({} if kwargs in _EMPTY else kwargs)
    if not isinstance(args, list):
        raise _malformed(f"args as a list, found {kind(args)}", "Write [] where there are none.")
    if not isinstance(kwargs, dict):
        raise _malformed(
            f"kwargs as an object, found {kind(kwargs)}",
            "Write the job's fields with their names.",
        )
    return args, kwargs


def _task(found: object, tasks: Collection[str]) -> str:
    if isinstance(found, str) and found in tasks:
        return found
    name = f"{found!r:.80}" if isinstance(found, str) else kind(found)
    raise RefusedError(
        FailureCode.UNKNOWN_TASK,
        f"Expected the task {' or '.join(sorted(tasks))} in the header `task`, found {name}. "
        "Correct the name, or the queue that the sender writes to.",
    )


def _message_id(found: object) -> str:
    """The message's own id, which a redelivery keeps; a stranger's may be anything."""
    if found in _EMPTY:
        return uuid4().hex  # made once: what goes back into the queue keeps it
    name = found if isinstance(found, str) else canonical_json(found)
    if len(name) <= MESSAGE_ID_LENGTH_MAX and name.isprintable():
        return name
    return hashlib.sha256(name.encode(errors="backslashreplace")).hexdigest()


def _priority(found: object) -> int:
    return max(0, min(found, PRIORITY_MAX)) if type(found) is int else 0


def _redelivered(headers: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    delivery = properties.get("delivery_info")
    told = delivery.get("redelivered") if isinstance(delivery, dict) else None
    return headers.get("redelivered") is True or told is True


def _expiry(found: object) -> str | None:
    try:
        expires = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        return None
    return expires.isoformat() if expires and expires.tzinfo else None


def _unreadable(what: str, cure: str) -> RefusedError:
    return RefusedError(FailureCode.UNREADABLE_BODY, f"Expected {what}. {cure}")


def _malformed(what: str, cure: str) -> RefusedError:
    return RefusedError(FailureCode.MALFORMED_CALL, f"Expected {what}. {cure}")


def kind(value: object) -> str:
    """What a value is, without what it says: it may be long, or secret."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {dict: "an object", list: "a list", str: "a text", int: "a number", float: "a number"}
    name = names.get(type(value), "a value of another type")
    return name if value else f"{name} that is empty" if isinstance(value, str) else name
