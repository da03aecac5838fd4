"""Who is asking, and may they? Every route but the sign-in, its style and the health check asks."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.review import reviewers
from db.review.credentials import cookie_digest, selector_of
from db.review.models import CredentialKind, Reviewer, Role
from db.services.tokens import has_form_of_token
from review.desk import Desk, desk_of
from review.limits import Limiter
from review.problems import ProblemError

COOKIE = "tagger_review"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
TOKENS_REMEMBERED_MAX = 1000

_bearer = HTTPBearer(auto_error=False, description="A token of `tagger reviewer token NAME`.")
_cookie = APIKeyCookie(name=COOKIE, auto_error=False, description="A signed-in browser.")

Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
Cookie = Annotated[str | None, Security(_cookie)]


@dataclass(frozen=True, kw_only=True)
class Principal:
    """The person behind a request; csrf is what their pages send back, None with a token."""

    id: int
    name: str
    role: Role
    csrf: str | None


def csrf_of(cookie: str) -> str:
    """The session's own token against cross-site requests, worked out from its cookie."""
    return hmac.new(cookie.encode(), b"csrf", hashlib.sha256).hexdigest()


def principal(request: Request, bearer: Bearer, cookie: Cookie) -> Principal:
    """The signed-in reviewer.

    Raises:
        ProblemError: 401 without valid credentials, 403 for a request from another site.
    """
    desk = desk_of(request)
    if bearer is not None and has_form_of_token(bearer.credentials):
        raise ProblemError(403, "This is for people: send a token of `tagger reviewer token NAME`.")
    if bearer is not None:
        return _by_token(desk, bearer.credentials, address_of(request))
    if cookie:
        return _by_cookie(request, desk, cookie)
    raise unauthorised("Sign in first, or send a token as `Authorization: Bearer …`.")


Signed = Annotated[Principal, Depends(principal)]


def lead(person: Signed) -> Principal:
    """The same, and a lead."""
    if person.role is not Role.LEAD:
        raise ProblemError(403, "Only leads may do that. Ask one, or `tagger reviewer add --lead`.")
    return person


Lead = Annotated[Principal, Depends(lead)]


def limited(choose: Callable[[Desk], Limiter]) -> Callable[[Request, Principal], None]:
    """A dependency that takes a token from the person's bucket."""

    def take(request: Request, person: Signed) -> None:
        wait_s = choose(desk_of(request)).wait_s(str(person.id))
        if wait_s:
            raise too_often(wait_s)

    return take


def limit_sign_in(request: Request, session: Session, secret: str) -> None:
    """Slow down whoever guesses.

    Secrets that were never handed out count by address, and all addresses together; one that was
    counts for itself. So nobody can lock out the people who share an address, as all do behind a
    proxy whose forwarded addresses are not believed.
    """
    desk = desk_of(request)
    selector = reviewers.handed_out(session, secret)
    if selector is not None:
        wait_s = desk.sign_in_limit.wait_s(f"secret {selector}")
    else:
        wait_s = desk.sign_in_limit.wait_s(address_of(request))
        wait_s = wait_s or desk.sign_in_limit_all.wait_s("all")
    if wait_s:
        raise too_often(wait_s)


def refuse_other_sites(request: Request) -> None:
    """A form of another site must not sign anybody in or out."""
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    foreign = origin is not None and not _is_own(origin, request)
    if foreign or site not in (None, "same-origin", "none"):
        raise ProblemError(403, "Expected a request from the review desk's own pages.")


def _is_own(origin: str, request: Request) -> bool:
    """Whether a page of the desk asks, by the name it was asked under or one of its names."""
    if origin.rpartition("//")[2] == request.headers.get("host", ""):
        return True
    try:
        return urlsplit(origin).hostname in desk_of(request).names
    except ValueError:
        return False


def _by_cookie(request: Request, desk: Desk, cookie: str) -> Principal:
    now = desk.now()
    with desk.read() as session:
        found = reviewers.session_of(session, cookie, now)
        if found is None:
            raise unauthorised("Your session has ended. Sign in again; nothing is lost.")
        reviewer = session.get_one(Reviewer, found.reviewer_id)
        due = now - found.seen_at > reviewers.SEEN_EVERY
        person = _principal(reviewer, csrf_of(cookie))
    if request.method not in SAFE_METHODS:
        refuse_other_sites(request)
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode(), csrf_of(cookie).encode()):
            raise ProblemError(403, f"Expected the page's own {CSRF_HEADER}. Load the page again.")
    if due:
        _remember_seen(desk, cookie)
    return person


def _remember_seen(desk: Desk, cookie: str) -> None:
    try:
        with desk.write() as session:
            reviewers.seen(session, cookie, desk.now())
    except DBAPIError:
        return  # a database that takes no changes must not sign people out


def _by_token(desk: Desk, token: str, address: str) -> Principal:
    """argon2 at the first request only; whether the token still runs is asked at each."""
    digest, now = cookie_digest(token), desk.now()
    selector = desk.verified_tokens.get(digest)
    with desk.read() as session:
        if selector is not None:
            reviewer = reviewers.token_runs(session, selector, now)
        else:
            _slow_down_guessing(desk, session, token, address)
            with desk.verifying:
                reviewer = reviewers.owner(session, token, CredentialKind.TOKEN, now)
        if reviewer is None:
            desk.verified_tokens.pop(digest, None)
            raise unauthorised("This token is not valid. Ask for a new one.")
        if len(desk.verified_tokens) > TOKENS_REMEMBERED_MAX:
            desk.verified_tokens.clear()
        desk.verified_tokens[digest] = selector_of(token) or ""
        return _principal(reviewer, None)


def _slow_down_guessing(desk: Desk, session: Session, token: str, address: str) -> None:
    selector = reviewers.handed_out(session, token)
    wait_s = desk.sign_in_limit_all.wait_s(f"secret {selector}" if selector else address)
    if wait_s:
        raise too_often(wait_s)


def _principal(reviewer: Reviewer, csrf: str | None) -> Principal:
    return Principal(id=reviewer.id, name=reviewer.name, role=Role(reviewer.role), csrf=csrf)


def address_of(request: Request) -> str:
    return request.client.host if request.client else "?"


def unauthorised(detail: str) -> ProblemError:
    return ProblemError(401, detail, {"WWW-Authenticate": "Bearer"})


def too_often(wait_s: int) -> ProblemError:
    detail = f"Too many requests. Wait {wait_s} s and go on."
    return ProblemError(429, detail, {"Retry-After": str(wait_s)})
