"""Events for programs: `GET /api/v1/events`, at once, with a long poll, or as a stream."""

import json
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.types import Receive, Scope, Send

from catalog.events import EventKind
from db.events.fields import public
from db.events.reading import Page
from review.event_watch import LOOK_S, EventWatch
from review.problems import ProblemError, responses
from review.schemas import ID_MAX
from review.services import ResultsService

LIMIT_MAX = 1000
WAIT_S_MAX = 30
# A stream ends after this, so that a token that was revoked reads no longer; its reader comes back.
STREAM_S_MAX = 300
# A comment now and then keeps proxies from taking a silent stream for a dead one.
SILENCE_S_MAX = 10
EVENT_STREAM = "text/event-stream"

router = APIRouter(prefix="/api/v1", tags=["results"], responses=responses())


class EventOut(BaseModel):
    """What happened. Of a product, every field is there; null: it does not say."""

    model_config = ConfigDict(extra="allow")

    id: int = Field(description="Greater than those of all events before; the same in every way.")
    type: str = Field(examples=["tagged"])
    at: datetime
    product_id: str | None
    state: str | None = None
    label: str | None = Field(None, description="The category's id in force; null: none is.")
    confidence: float | None = Field(None, description="The machine's; null for a person's label.")
    decided_by: str | None = Field(None, description="person or machine")
    reviewer: str | None = None
    previous_label: str | None = None
    model_version: str | None = None
    taxonomy: str | None = None
    taxonomy_version: int | None = None
    reasons: list[str] | None = Field(None, description="Why a person should look.")
    reason_code: str | None = Field(None, description="Why it failed.")


class EventPage(BaseModel):
    """Events in order. `after` is where to go on, also where no event of the types was found."""

    events: list[EventOut]
    after: int


class EventQuery(BaseModel):
    """Which events, and how long to wait for one."""

    after: int = Field(0, ge=0, le=ID_MAX, description="Later than this one; 0: all that is kept.")
    limit: int = Field(100, ge=1, le=LIMIT_MAX)
    types: str = Field(
        "",
        max_length=200,
        description="Only these, separated by commas: " + ", ".join(EventKind) + ".",
    )
    wait: float = Field(
        0, ge=0, le=WAIT_S_MAX, description="Seconds to wait where there is none yet."
    )

    @field_validator("types")
    @classmethod
    def _known(cls, value: str) -> str:
        unknown = set(filter(None, value.split(","))) - {each.value for each in EventKind}
        if unknown:
            raise ValueError(f"expected types of {', '.join(EventKind)}")
        return value

    @property
    def kinds(self) -> list[str]:
        return list(filter(None, self.types.split(",")))


@router.get(
    "/events",
    response_model=EventPage,
    responses={
        200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}},
        **responses(409, 410),
    },
)
async def get_events(
    request: Request,
    service: ResultsService,
    query: Annotated[EventQuery, Query()],
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str, Header()] = "",
) -> Response:
    """What became of products, in the order of the ids.

    Ask with `after` of the last answer: nothing is missed and nothing comes twice. `wait` holds
    the answer back until there is an event. With `Accept: text/event-stream` the answer is a
    stream of server-sent events that goes on after `Last-Event-ID` (or `after`); it ends after
    some minutes, to be asked for again. 410: events after that number are deleted already.
    """
    watch: EventWatch = request.app.state.event_watch
    after = _last(last_event_id) if last_event_id else query.after
    await run_sync(watch.start, after)
    if EVENT_STREAM in accept:
        return _Stream(watch, service.name, query, after)
    page = await run_sync(watch.page, after, query.kinds, query.limit)
    if not page.events and query.wait:
        with watch.seat(service.name):
            page = await _waited(watch, query, page.after, query.wait)
    return JSONResponse({"events": [public(each) for each in page.events], "after": page.after})


class _Stream(StreamingResponse):
    """Server-sent events for one reader, who has a seat until the connection ends."""

    def __init__(self, watch: EventWatch, service: str, query: EventQuery, after: int) -> None:
        headers = {"X-Accel-Buffering": "no"}
        super().__init__(_lines(watch, query, after), media_type=EVENT_STREAM, headers=headers)
        self._seat = watch.seat(service)
        self._seat.__enter__()  # refused before the answer begins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._seat.__exit__(None, None, None)


async def _lines(watch: EventWatch, query: EventQuery, after: int) -> AsyncIterator[str]:
    yield "retry: 1000\n\n"
    ends = time.monotonic() + STREAM_S_MAX
    while time.monotonic() < ends:
        page = await _waited(watch, query, after, SILENCE_S_MAX)
        for each in page.events:
            yield _sent(public(each))
        after = page.after
        yield f"id: {after}\n\n"  # dispatches nothing; the reader goes on after it


async def _waited(watch: EventWatch, query: EventQuery, after: int, wait_s: float) -> Page:
    """The first page that is not empty, or the last one that is."""
    ends = time.monotonic() + wait_s
    while True:
        page = Page(events=(), after=after)
        if await run_sync(watch.newest) > after:
            page = await run_sync(watch.page, after, query.kinds, query.limit)
            after = page.after
        if page.events or time.monotonic() >= ends:
            return page
        await anyio.sleep(LOOK_S)


def _sent(event: dict[str, Any]) -> str:
    return f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n"


def _last(value: str) -> int:
    if not (value.isascii() and value.isdigit() and int(value) <= ID_MAX):
        raise ProblemError(422, f"Expected Last-Event-ID to be a number, found {value[:40]!r}.")
    return int(value)
