"""The body of a request that may be large: read, unpacked and taken apart within bounds."""

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import anyio
from fastapi import Request
from starlette.requests import ClientDisconnect

from review.problems import ProblemError

# 10,000 jobs of the longest fields allowed are 23 MB.
BODY_BYTES_MAX = 32 * 1024 * 1024
READ_S_MAX = 60.0
ITEMS_MAX = 10_000
LIST_TYPES = ("application/json", "text/json")
LINE_TYPES = (
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
    "application/jsonlines",
)  # fmt: skip
_CHUNK = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """What stands where a value was expected, as a sentence."""

    detail: str


@dataclass(frozen=True, kw_only=True)
class Item:
    """One value of the body; position counts from 0, blank lines too."""

    position: int
    value: object


async def read(request: Request, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body as it came, maybe compressed.

    Raises:
        ProblemError: 413 too large, 408 not there in time.
    """
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and int(said[:20]) > bytes_max:
        raise _too_large(bytes_max)
    body = bytearray()
    try:
        with anyio.fail_after(READ_S_MAX):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
    except TimeoutError as error:
        raise ProblemError(408, f"Expected the body within {READ_S_MAX:.0f} s.") from error
    except ClientDisconnect as error:
        raise ProblemError(400, "Expected the whole body; the connection was closed.") from error
    return bytes(body)


def unpacked(body: bytes, encoding: str, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """The body without its Content-Encoding, gzip or none.

    Raises:
        ProblemError: 413 too large once unpacked, 400 no gzip, 415 another encoding.
    """
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        detail = f"Expected the Content-Encoding gzip or none, received {encoding[:40]!r}."
        raise ProblemError(415, detail, {"Accept-Encoding": "gzip"})
    found = bytearray()
    rest = body
    while rest or not found:  # a file of gzip may have several members
        member = zlib.decompressobj(wbits=31)
        try:
            while not member.eof:
                found += member.decompress(rest, _CHUNK)
                rest = member.unconsumed_tail
                if len(found) > bytes_max:
                    raise _too_large(bytes_max)
                if not rest and not member.eof:
                    found += member.flush()
                    break
        except zlib.error as error:
            raise ProblemError(400, f"Expected gzip, received what is none: {error}.") from error
        if not member.eof:
            raise ProblemError(400, "Expected gzip to its end; the last part is missing.")
        rest = member.unused_data
        if not rest:
            break
    if len(found) > bytes_max:
        raise _too_large(bytes_max)
    return bytes(found)


def is_lines(content_type: str) -> bool:
    """Whether the body is one JSON value a line.

    Raises:
        ProblemError: 415, it is neither that nor JSON.
    """
    name, _, parameters = content_type.partition(";")
    name = name.strip().lower()
    charset = re.search(r'charset\s*=\s*"?([\w.:-]+)', parameters, re.IGNORECASE)
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise ProblemError(415, f"Expected UTF-8, received the charset {charset[1][:40]!r}.")
    if name in LINE_TYPES:
        return True
    if name in LIST_TYPES or not name:
        return False
    raise ProblemError(
        415,
        "Expected the Content-Type application/json or application/x-ndjson, received "
        f"{name[:80]!r}. With curl: -H 'Content-Type: application/json'.",
    )


def items(body: bytes, *, lines: bool, most: int = ITEMS_MAX) -> list[Item]:
    """The values of a body: a JSON array's, one value alone, or one a line.

    What PHP makes of a list with gaps, {"0": …, "2": …}, and {"jobs": […]} are lists, too.

    Raises:
        ProblemError: 400 no JSON, 413 too many.
    """
    found = list(_of_lines(body, most) if lines else _of_list(body))
    if len(found) > most:
        raise _too_many(most)
    return found


def _of_list(body: bytes) -> Iterator[Item]:
    value = _parsed(body)
    if isinstance(value, Unreadable):
        raise ProblemError(400, value.detail)
    for position, each in enumerate(_as_list(value)):
        yield Item(position=position, value=each)


def _as_list(value: object) -> Sequence[object]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        if set(value) == {"jobs"} and isinstance(value["jobs"], list):
            return value["jobs"]
        if value and all(key.isascii() and key.isdigit() for key in value):
            return list(value.values())
    return [value]


def _of_lines(body: bytes, most: int) -> Iterator[Item]:
    count = 0
    for position, line in enumerate(body.split(b"\n")):
        if not line.strip():
            continue
        count += 1
        if count > most:
            raise _too_many(most)
        yield Item(position=position, value=_parsed(line))


def _parsed(text: bytes) -> object:
    """The value, or why there is none."""
    try:
        return json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_refuse
        )
    except UnicodeDecodeError as error:
        return Unreadable(detail=f"Expected UTF-8, found another byte at {error.start}.")
    except json.JSONDecodeError as error:
        return Unreadable(detail=f"Expected JSON: {error.msg} at character {error.pos}.")
    except RecursionError:
        return Unreadable(detail="Expected JSON, found one that is nested too deeply.")
    except ValueError as error:
        return Unreadable(detail=f"Expected JSON: {str(error)[:100]}.")


def _object(pairs: list[tuple[str, Any]]) -> object:
    """Two values for one field would be one by luck."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = next(name for name in names if names.count(name) > 1)
    return Unreadable(detail=f"Expected each field once, found {twice[:64]!r} again.")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _too_large(bytes_max: int) -> ProblemError:
    detail = f"Expected a body of at most {bytes_max:,} bytes, unpacked, received more."
    return ProblemError(413, detail)


def _too_many(most: int) -> ProblemError:
    return ProblemError(413, f"Expected at most {most:,} jobs in one request. Send them in parts.")
