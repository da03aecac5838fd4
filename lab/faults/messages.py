"""Messages broken at every level: bytes, JSON, envelope, headers, properties, body, call, job."""

import base64
import bz2
import json
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from catalog.queues import BULK_QUEUE, INGEST_QUEUE, TAG_CHUNK, TAG_PRODUCT

Message = tuple[str, bytes]  # the queue, and what is pushed into it
Draw = Callable[[st.SearchStrategy[Any]], Any]

# Written into the JSON afterwards, as no encoder would write them.
_TOKENS = {
    "@digits@": "9" * 4301,
    "@many@": "1" * 4000,
    "@huge@": "1e999",
    **{f"@deep{n}@": "[" * n + "]" * n for n in (90, 450, 600, 5000)},
    "@deep-map@": '{"a":' * 450 + "1" + "}" * 450,
    "@uuid@": '{"__type__": "uuid", "__value__": {"hex": "00000000000000000000000000000001"}}',
    "@type@": '{"__type__": "nobody", "__value__": 1}',
    "@bad-date@": '{"__type__": "datetime", "__value__": "yesterday"}',
    "@list-type@": '{"__type__": ["x"], "__value__": 1}',
    "@surrogate@": '"\\ud800"',
    "@nul@": '"a\\u0000b"',
}
_TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", " ", "\x00", "a\x1b[2Jb", "x" * 500, "\u202e", "accepted-1", "é", "😀"]),
)
_NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20), st.floats(), st.sampled_from([0, 1, -1, 2**63, 10**40])
)
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS, st.sampled_from(sorted(_TOKENS)))
ODD = st.one_of(
    _SCALARS,
    st.sampled_from([[], {}, [[]], [None], {"": None}, {"jobs": 1}]),
    st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
        max_leaves=5,
    ),
)
_CONTENT_TYPES = st.sampled_from(
    ["application/x-python-serialize", "application/data", "text/plain", "application/json;x", ""]
)
_CODECS = st.sampled_from(["utf-8", "utf-16", "latin-1", "utf-8-sig"])


def _chance(draw: Draw, one_in: int) -> bool:
    # Hypothesis likes small numbers and round ones.
    return bool(draw(st.integers(0, 2**16)) % one_in == 3 % one_in)


def _job(draw: Draw, pictures: Sequence[str]) -> Any:
    uris = st.sampled_from([*pictures, "file:///no/such.jpg", "http://127.0.0.1/x", "ftp://x/y"])
    job: dict[str, Any] = {
        "product_id": f"sender-{draw(st.integers(0, 10**9))}",
        "image_uri": draw(uris),
    }
    if _chance(draw, 3):
        job["declared_label"] = draw(st.sampled_from(["Bag", "Shirt", "bag", ""]))
    if _chance(draw, 2):
        name = draw(
            st.sampled_from(["product_id", "image_uri", "declared_label", "colour", "\x1b"])
        )
        if _chance(draw, 4):
            job.pop(name, None)
        else:
            job[name] = draw(ODD)
    return draw(ODD) if _chance(draw, 20) else job


def _call(draw: Draw, task: str, pictures: Sequence[str]) -> tuple[Any, Any]:
    job = _job(draw, pictures)
    kwargs: Any = job
    if task == TAG_CHUNK:
        kwargs = {"jobs": [job, *(_job(draw, pictures) for _ in range(draw(st.integers(0, 3))))]}
        if _chance(draw, 5):
            kwargs["jobs"] = draw(ODD)
    args: Any = []
    if isinstance(kwargs, dict) and _chance(draw, 6):
        args, kwargs = list(kwargs.values()), draw(st.sampled_from([[], {}, None]))
    if _chance(draw, 8):
        args = draw(ODD)
    if _chance(draw, 8):
        kwargs = draw(ODD)
    return args, kwargs


def _body(draw: Draw, task: str, pictures: Sequence[str]) -> Any:
    args, kwargs = _call(draw, task, pictures)
    embed = draw(ODD) if _chance(draw, 6) else {"callbacks": None, "errbacks": None}
    shape = draw(st.integers(0, 15))
    if shape == 0:
        return draw(ODD)
    if shape == 1:
        return kwargs
    if shape == 2:
        return [args, kwargs]
    if shape == 3:
        return [args, kwargs, embed, draw(ODD)]
    if shape in (4, 5):
        return {"task": task, "id": f"one-{draw(st.integers(0, 99))}", "args": args,
                "kwargs": kwargs, "retries": 0, "eta": draw(ODD)}  # fmt: skip
    return [args, kwargs, embed]


def _headers(draw: Draw, task: str) -> Any:
    headers: dict[str, Any] = {"lang": "py", "task": task, "id": f"i-{draw(st.integers(0, 10**9))}"}
    names = ["task", "id", "eta", "expires", "timelimit", "shadow", "stamps", "compression",
             "ignore_result", "root_id", "group", "redelivered", "stamped_headers"]  # fmt: skip
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        headers[name] = draw(ODD)
    if _chance(draw, 10):
        del headers[draw(st.sampled_from(["task", "id"]))]
    return draw(ODD) if _chance(draw, 15) else headers


def _properties(draw: Draw, queue: str) -> Any:
    properties: dict[str, Any] = {
        "correlation_id": "c",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": draw(st.sampled_from(["same", "other"])),
    }
    for name in draw(st.lists(st.sampled_from(sorted(properties)), max_size=2)):
        if _chance(draw, 3):
            properties.pop(name, None)
        else:
            properties[name] = draw(ODD)
    return draw(ODD) if _chance(draw, 15) else properties


def _written(value: Any) -> str:
    text = json.dumps(value)
    for token, literal in _TOKENS.items():
        text = text.replace(f'"{token}"', literal)
    return text


def _encoded_body(draw: Draw, body: Any, headers: Any) -> str:
    data = _written(body).encode(draw(_CODECS) if _chance(draw, 8) else "utf-8")
    if _chance(draw, 8):
        name, compress = draw(st.sampled_from([("gzip", zlib.compress), ("bzip2", bz2.compress)]))
        data = compress(data)
        if isinstance(headers, dict):
            headers["compression"] = name
    if _chance(draw, 10):
        data = _damaged(draw, data)
    return base64.b64encode(data).decode()


def _damaged(draw: Draw, data: bytes) -> bytes:
    at = draw(st.integers(0, len(data)))
    noise: bytes = draw(st.binary(max_size=6))
    rest: bytes = draw(st.sampled_from([b"", data[at:], data[at + 1 :]]))
    return data[:at] + noise + rest


@st.composite
def messages(draw: Draw, pictures: Sequence[str], number: int = 0) -> Message:
    """What a sender may push into a queue; `pictures` are addresses of sound ones.

    number: written into it, as Hypothesis likes to repeat itself.
    """
    queue = draw(st.sampled_from([INGEST_QUEUE, BULK_QUEUE]))
    if _chance(draw, 15):
        return queue, draw(st.one_of(st.binary(max_size=60), ODD.map(_written).map(str.encode)))
    usual = TAG_PRODUCT if queue == INGEST_QUEUE else TAG_CHUNK
    headers, properties = _headers(draw, usual), _properties(draw, queue)
    body = _body(draw, usual, pictures)
    text: Any = _encoded_body(draw, body, headers)
    envelope: dict[str, Any] = {
        "body": text, "content-encoding": "utf-8", "content-type": "application/json",
        "headers": headers, "properties": properties, "number": number,
    }  # fmt: skip
    if _chance(draw, 6):
        envelope["content-type"] = draw(_CONTENT_TYPES)
    if _chance(draw, 6):
        name = draw(st.sampled_from(sorted(envelope)))
        if _chance(draw, 3):
            del envelope[name]
        else:
            envelope[name] = draw(ODD) if name != "body" else draw(st.just(body) | ODD)
    raw = _written(envelope).encode("utf-8", "surrogatepass")
    return queue, _damaged(draw, raw) if _chance(draw, 12) else raw


def drawn(pictures: Sequence[str], count: int) -> list[Message]:
    """So many messages, the same ones every time."""
    found: list[Message] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        found.append(data.draw(messages(pictures, number=len(found))))

    draw()
    return found
