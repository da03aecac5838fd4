"""The pages: signing in and out, the desk, the grid, the dashboard."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from catalog.outcomes import FlagReason
from db.drift.nights import latest_night
from db.ledger.taxonomies import taxonomies_of, taxonomy_in_force
from db.review import reviewers
from db.review import statistics as review_statistics
from db.review.credentials import selector_of
from db.review.filters import Order
from db.review.models import CredentialKind
from review import dashboard
from review.access import (
    COOKIE,
    Principal,
    Signed,
    limit_sign_in,
    limited,
    refuse_other_sites,
)
from review.desk import Desk, desk_of
from review.sentences import readable

HERE = Path(__file__).parent

public = APIRouter(include_in_schema=False)
private = APIRouter(
    include_in_schema=False, dependencies=[Depends(limited(lambda desk: desk.api_limit))]
)


def make_templates() -> Jinja2Templates:
    """Jinja with everything escaped, and unknown names an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["readable"] = readable
    return Jinja2Templates(env=environment)


@public.get("/login")
def sign_in_page(request: Request, ended: str = "") -> Response:
    """The sign-in form."""
    message = "Sign in to go on. Nothing is lost." if ended else ""
    return _sign_in_form(request, message, 200)


@public.post("/login", dependencies=[Depends(refuse_other_sites)])
async def sign_in(request: Request) -> Response:
    """Let in whoever has a valid token."""
    try:
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        return _sign_in_form(request, "Expected one field, the token.", 422)
    token = form.get("token", [""])[0].strip()
    return await run_in_threadpool(_sign_in, request, token)


@public.get("/welcome/{link}")
def welcome_page(request: Request, link: str) -> Response:
    """A button: programs that look at a link before people do must not use it up."""
    templates: Jinja2Templates = request.app.state.templates
    return templates.TemplateResponse(request, "welcome.html", {})


@public.post("/welcome/{link}", dependencies=[Depends(refuse_other_sites)])
def welcome(request: Request, link: str) -> Response:
    """Let in whoever has a one-time link, once."""
    desk = desk_of(request)
    now = desk.now()
    with desk.read() as session:
        limit_sign_in(request, session, link)
    with desk.verifying, desk.write() as session:
        reviewer = reviewers.redeem_link(session, link, now)
        cookie = reviewers.sign_in(session, reviewer, now) if reviewer else None
    if cookie is None:
        message = "This link has been used or is too old. Make one: tagger reviewer link NAME"
        return _sign_in_form(request, message, 403)
    return _with_cookie(request, cookie)


@private.post("/logout")
def sign_out(request: Request, person: Signed) -> Response:
    """End the session, in the database too."""
    desk = desk_of(request)
    with desk.write() as session:
        reviewers.sign_out(session, request.cookies.get(COOKIE, ""), desk.now())
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return response


@private.get("/")
def desk_page(request: Request, person: Signed) -> Response:
    """One item at a time."""
    return _page(request, person, "desk.html", **_choices(desk_of(request)))


@private.get("/grid")
def grid_page(request: Request, person: Signed) -> Response:
    """Look-alikes, accepted together."""
    return _page(request, person, "grid.html", **_choices(desk_of(request)))


@private.get("/dashboard")
def dashboard_page(
    request: Request,
    person: Signed,
    opened: Annotated[list[str] | None, Query(alias="open")] = None,
) -> Response:
    """How the desk, the machine and the people are doing."""
    desk = desk_of(request)
    with desk.read() as session:
        statistics = review_statistics.statistics(session, desk.now())
        night = latest_night(session)
    view = dashboard.view(statistics, opened, night)
    return _page(request, person, "dashboard.html", view=view)


def _choices(desk: Desk) -> dict[str, Any]:
    """What the filters offer."""
    with desk.read() as session:
        models, declared = review_statistics.choices(session)
        labels = _labels(session)
    return {
        "labels": labels,
        "reasons": list(FlagReason),
        "orders": list(Order),
        "models": models,
        "declared": declared,
    }


def _labels(session: Session) -> list[tuple[str, str]]:
    """Every category that a model may have said, the taxonomy in force first: id and path.

    The parents of that one stand before what is below them, and mean all of it.
    """
    in_force = taxonomy_in_force(session)
    found: dict[str, str] = {}
    for label in in_force.ids:
        for parent in in_force.ancestors(label)[::-1]:
            found.setdefault(parent, f"{in_force.path_of(parent)} (all)")
        found[label] = in_force.path_of(label)
    for taxonomy in taxonomies_of(session).values():
        for label in taxonomy.ids:
            found.setdefault(label, taxonomy.path_of(label))
    return list(found.items())


def _page(request: Request, person: Principal, name: str, **context: Any) -> Response:
    templates: Jinja2Templates = request.app.state.templates
    return templates.TemplateResponse(request, name, {"person": person, **context})


def _sign_in_form(request: Request, message: str, status: int) -> HTMLResponse:
    templates: Jinja2Templates = request.app.state.templates
    return templates.TemplateResponse(request, "login.html", {"message": message}, status)


def _sign_in(request: Request, token: str) -> Response:
    desk = desk_of(request)
    now = desk.now()
    with desk.read() as session:
        limit_sign_in(request, session, token)
        with desk.verifying:
            reviewer = reviewers.owner(session, token, CredentialKind.TOKEN, now)
    if reviewer is None:
        return _not_valid(request)
    with desk.write() as session:
        # A new token ends the sessions of the old one: none may start right behind it.
        if reviewers.token_runs(session, selector_of(token) or "", now, lock=True) is None:
            return _not_valid(request)
        cookie = reviewers.sign_in(session, reviewer, now)
    return _with_cookie(request, cookie)


def _not_valid(request: Request) -> Response:
    message = "This token is not valid. Ask for a new one: tagger reviewer token NAME"
    return _sign_in_form(request, message, 403)


def _with_cookie(request: Request, cookie: str) -> Response:
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(reviewers.SESSION_LONGEST.total_seconds()),
        httponly=True,
        samesite="lax",
        # Where names are set, TLS stands in front, whether or not the proxy says so.
        secure=request.url.scheme == "https" or bool(desk_of(request).names),
    )
    return response
