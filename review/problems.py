"""Errors as problem+json (RFC 9457), each with a sentence that a person can act on."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import exc
from starlette.exceptions import HTTPException
from starlette.routing import Route

from catalog.failures import ImageFailure
from db.events.reading import CursorError as EventCursorError
from db.events.reading import EventsGoneError
from db.review.errors import (
    KeyReusedError,
    OwnOpinionError,
    ReviewError,
    StaleDecisionError,
    UndoError,
    UnknownItemError,
    UnknownLabelError,
)
from db.review.filters import CursorError
from review.photos import PhotoChangedError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5
STATUS_OF: dict[type[Exception], int] = {
    UnknownItemError: 404,
    UnknownLabelError: 422,
    StaleDecisionError: 412,
    KeyReusedError: 409,
    OwnOpinionError: 409,
    UndoError: 409,
    PhotoChangedError: 409,
    CursorError: 422,
    EventCursorError: 409,
    EventsGoneError: 410,
}


class Problem(BaseModel):
    """What went wrong."""

    type: str = "about:blank"
    title: str = Field(examples=["Precondition Failed"])
    status: int = Field(examples=[412])
    detail: str = Field(examples=["Ada decided it at 12:01:00 UTC; p1 is not open any more."])


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI document: these statuses answer with a problem."""
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content}
        for status in (400, 401, 403, 413, 422, 429, 500, 503, *statuses)
    }


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """One problem as a response."""
    return JSONResponse(problem_fields(status, detail), status, headers, media_type=MEDIA_TYPE)


def problem_fields(status: int, detail: str) -> dict[str, Any]:
    """What every problem says; others may be added beside them."""
    return Problem(title=HTTPStatus(status).phrase, status=status, detail=detail).model_dump()


def install(app: FastAPI) -> None:
    """Answer every error of the app with a problem, and signed-out people with the sign-in page."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(ReviewError, _on_review)
    for cursor_error in (CursorError, EventCursorError):
        app.add_exception_handler(cursor_error, _on_review)
    app.add_exception_handler(PhotoChangedError, _on_review)
    app.add_exception_handler(ImageFailure, _on_image)
    app.add_exception_handler(exc.IntegrityError, _on_conflict)
    for kind in (exc.DBAPIError, exc.TimeoutError):
        app.add_exception_handler(kind, _on_database)
    app.add_exception_handler(Exception, _on_mistake)


def is_program(request: Request) -> bool:
    """Whether a program asks, not a person who can read a page."""
    return request.url.path.startswith(("/api/", "/pictures/", "/openapi"))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    if error.status == 401 and not is_program(request) and request.method == "GET":
        return RedirectResponse("/login?ended=1", 303)
    return problem(error.status, error.detail, error.headers)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    if error.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_methods(request)))}
    return problem(error.status_code, str(error.detail), headers)


def _methods(request: Request) -> set[str]:
    """What may be asked of this path: of all its routes, where Starlette names the first one's."""
    found: set[str] = set()
    pending = list(request.app.routes)
    while pending:
        route = pending.pop()
        included = getattr(route, "original_router", None)
        if included is not None:
            pending += included.routes
        elif isinstance(route, Route) and route.path_regex.match(request.url.path):
            found |= route.methods or set()
    return found


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = "; ".join(
        f"{'.'.join(map(str, jsonable_encoder(each['loc'])))}: {each['msg']}"
        for each in error.errors()
    )
    return problem(422, f"Expected another request: {found[:1000]}.")


async def _on_review(request: Request, error: Exception) -> Response:
    return problem(STATUS_OF.get(type(error), 409), str(error))


async def _on_image(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImageFailure)
    return problem(502 if error.code.transient else 404, error.detail)


async def _on_conflict(request: Request, error: Exception) -> Response:
    return problem(409, "The same was being written at the same instant. Send it again.")


async def _on_database(request: Request, error: Exception) -> Response:
    return problem(
        503,
        "The database does not answer or takes no changes at the moment. Nothing was changed; "
        "send it again in a few seconds.",
        {"Retry-After": str(RETRY_AFTER_S)},
    )


async def _on_mistake(request: Request, error: Exception) -> Response:
    return problem(500, "A mistake in the review desk itself; its log has the details.")
