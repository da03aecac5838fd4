"""The review desk as an ASGI application."""

from collections.abc import Sequence

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import PlainTextResponse
from fastapi.staticfiles import StaticFiles

from review import (
    api,
    events_api,
    jobs_api,
    pages,
    pictures,
    problems,
    products_api,
    schema,
    statistics_api,
    taxonomy_api,
)
from review.desk import Desk
from review.event_watch import EventWatch
from review.headers import BoundedBody, SecurityHeaders
from review.pages import HERE, make_templates

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]", "testserver")


def create_app(desk: Desk, *, hosts: Sequence[str] = LOOPBACK_NAMES) -> FastAPI:
    """The app of a desk.

    hosts: the names it answers to, `*` for all. A page of another name that resolves to this
    address (DNS rebinding) gets nothing.
    """
    app = FastAPI(title="Review desk", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    app.state.event_watch = EventWatch(desk)
    app.state.templates = make_templates()
    for router in (
        api.router, jobs_api.router, products_api.router, events_api.router,
        statistics_api.router, taxonomy_api.router, pictures.router, schema.router,
        pages.private, pages.public,
    ):  # fmt: skip
        app.include_router(router)
    app.add_api_route("/healthz", _healthy, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    problems.install(app)
    app.add_middleware(BoundedBody, but=(jobs_api.PATH,))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecurityHeaders)
    return app


async def _healthy() -> PlainTextResponse:
    # In the event loop: it must answer when every thread is busy.
    return PlainTextResponse("ok")
