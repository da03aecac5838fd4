"""The OpenAPI document, for who may use the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from db.services.tokens import has_form_of_token
from review.access import Bearer, Cookie, principal
from review.services import caller

router = APIRouter(include_in_schema=False)


def anybody(request: Request, bearer: Bearer, cookie: Cookie) -> None:
    """A person, or a service with any scope."""
    if bearer is not None and has_form_of_token(bearer.credentials):
        caller(request, bearer)
    else:
        principal(request, bearer, cookie)


@router.get("/openapi.json")
def openapi(request: Request, asker: Annotated[None, Depends(anybody)]) -> dict[str, Any]:
    """The document of all routes under /api and /pictures."""
    document: dict[str, Any] = request.app.openapi()
    return document
