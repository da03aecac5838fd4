"""Jobs from programs: one or thousands in a request, accepted in one transaction."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from catalog.jobs import Job, MalformedJobError, parse_job
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from db.ledger.accepting import accept_for_upkeep
from db.services.requests import Former, remember
from review import bodies
from review.backlog import refuse_when_full
from review.desk import Desk, desk_of
from review.problems import MEDIA_TYPE, Problem, ProblemError, problem, problem_fields, responses
from review.services import Caller, JobsService

PATH = "/api/v1/jobs"
# So many go one by one into the ingest queue, where new products wait least; more go in chunks.
SINGLES_MAX = 64
SENTENCE_LENGTH_MAX = 300
KEY = re.compile(r"[\x21-\x7e]{1,128}")
# A body, its values and its rows are some 100 MB at the most.
AT_ONCE = 2

router = APIRouter(prefix="/api/v1", tags=["programs"], responses=responses())
_working = CapacityLimiter(AT_ONCE)


class Malformed(BaseModel):
    """A job that was not accepted. position: in the list, or its line; both count from 0."""

    position: int
    detail: str = Field(
        examples=["Expected a job of product_id and image_uri; image_uri: Field required."]
    )


class Accepted(BaseModel):
    """What became of a request: received = accepted + the malformed ones.

    superseded: of the accepted ones, those whose product comes again later in the request.
    """

    received: int
    accepted: int
    superseded: int
    malformed: list[Malformed]


def _nothing_accepted_schema() -> dict[str, Any]:
    schema = Problem.model_json_schema()
    malformed = {"type": "array", "items": Malformed.model_json_schema()}
    return schema | {"properties": schema["properties"] | {"malformed": malformed}}


NOTHING_ACCEPTED = {
    "description": "Nothing was accepted",
    "content": {MEDIA_TYPE: {"schema": _nothing_accepted_schema()}},
}
JOB: dict[str, Any] = {
    "type": "object",
    "required": ["product_id", "image_uri"],
    "additionalProperties": False,
    "properties": {
        "product_id": {"type": "string", "minLength": 1, "maxLength": 128},
        "image_uri": {"type": "string", "minLength": 1, "maxLength": 2048},
        "declared_label": {"type": ["string", "null"], "minLength": 1, "maxLength": 64},
    },
}
EXAMPLE = {"product_id": "4711", "image_uri": "https://img.example.com/4711.jpg"}
BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"anyOf": [JOB, {"type": "array", "items": JOB, "maxItems": 10_000}]},
            "example": [EXAMPLE],
        },
        "application/x-ndjson": {"schema": {"type": "string"}},
    },
}
Key = Annotated[
    str | None,
    Header(description="1-128 printable ASCII characters; the same again changes nothing."),
]
Queue = Annotated[
    Literal["ingest", "bulk"] | None,
    Query(description=f"Unset: ingest for up to {SINGLES_MAX} jobs, bulk for more."),
]


@router.post(
    "/jobs",
    status_code=202,
    response_model=Accepted,
    openapi_extra={"requestBody": BODY},
    responses={**responses(408, 413, 415), 422: NOTHING_ACCEPTED},
)  # fmt: skip
async def accept_jobs(
    request: Request, service: JobsService, queue: Queue = None, idempotency_key: Key = None
) -> Response:
    """Accept one job, or up to 10,000 as an array or one a line (NDJSON), maybe gzipped.

    What is well formed is in the ledger when this answers, and will be tagged; what is not is
    named by its position. A product's later job replaces its earlier one.
    """
    desk = desk_of(request)
    if idempotency_key is not None and not KEY.fullmatch(idempotency_key):
        raise ProblemError(400, "Expected an Idempotency-Key of 1-128 printable ASCII characters.")
    await to_thread.run_sync(_refuse_when_full, desk)
    lines = bodies.is_lines(request.headers.get("content-type", ""))
    encoding = request.headers.get("content-encoding", "")
    raw = await bodies.read(request)
    work = partial(_accept, desk, service, raw, encoding, lines, queue, idempotency_key)
    return await to_thread.run_sync(work, limiter=_working)


def _refuse_when_full(desk: Desk) -> None:
    with desk.read() as session:
        refuse_when_full(session, desk.backlog_max)


@dataclass(frozen=True, kw_only=True)
class _Read:
    """The well-formed jobs of a body, and what is to be said of it."""

    jobs: Sequence[Job]
    answer: dict[str, Any]


def _accept(
    desk: Desk,
    service: Caller,
    raw: bytes,
    encoding: str,
    lines: bool,
    queue: str | None,
    key: str | None,
) -> Response:
    body = bodies.unpacked(raw, encoding)
    found = _read(bodies.items(body, lines=lines))
    if not found.jobs and found.answer["malformed"]:
        return _nothing_accepted(found.answer)
    queue = queue or (INGEST_QUEUE if len(found.jobs) <= SINGLES_MAX else BULK_QUEUE)
    now = desk.now()
    with desk.write() as session:
        if key is not None:
            sha256 = hashlib.sha256(b"lines\n" + body if lines else body).hexdigest()
            former = remember(session, service.id, key, sha256, found.answer, now)
            if former is not None:
                return _again(former, sha256)
        accept_for_upkeep(session, found.jobs, now, queue=queue, chunk_size=desk.chunk_size)
    return JSONResponse(found.answer, 202)


def _read(items: Sequence[bodies.Item]) -> _Read:
    jobs: list[Job] = []
    malformed = []
    for item in items:
        try:
            if isinstance(item.value, bodies.Unreadable):
                raise MalformedJobError(item.value.detail)
            jobs.append(parse_job(item.value))
        except MalformedJobError as error:
            malformed.append({"position": item.position, "detail": _sentence(str(error))})
    products = len({job.product_id for job in jobs})
    answer = {
        "received": len(items),
        "accepted": len(jobs),
        "superseded": len(jobs) - products,
        "malformed": malformed,
    }
    return _Read(jobs=jobs, answer=answer)


def _sentence(text: str) -> str:
    """What a sender wrote may stand in it: NUL and lone surrogates no database takes."""
    text = text if len(text) <= SENTENCE_LENGTH_MAX else f"{text[: SENTENCE_LENGTH_MAX - 1]}…"
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _nothing_accepted(answer: dict[str, Any]) -> Response:
    malformed = answer["malformed"]
    detail = f"None of {len(malformed)} jobs is well formed. The first: {malformed[0]['detail']}"
    body = {**problem_fields(422, detail), "malformed": malformed}
    return JSONResponse(body, 422, media_type=MEDIA_TYPE)


def _again(former: Former, body_sha256: str) -> Response:
    if former.body_sha256 != body_sha256:
        return problem(
            422, "This Idempotency-Key came with another body before. Nothing was changed; use a "
            "key of its own for every request.",
        )  # fmt: skip
    return JSONResponse(former.answer, 202, {"Idempotency-Replayed": "true"})
