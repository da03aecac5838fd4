"""The OpenAPI document, for who may use the API."""

from typing import Any

from fastapi import APIRouter, Request

from review.access import Signed

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
def openapi(request: Request, person: Signed) -> dict[str, Any]:
    """The document of all routes under /api and /pictures."""
    document: dict[str, Any] = request.app.openapi()
    return document
