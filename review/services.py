"""Which program is asking, and may it? Services have tokens and scopes, and never a session."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from db.services import tokens
from db.services.models import Scope
from review.access import address_of, too_often, unauthorised
from review.desk import desk_of
from review.problems import ProblemError

_bearer = HTTPBearer(
    auto_error=False, scheme_name="Service", description="A token of `tagger service add NAME`."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The service behind a request, by its row."""

    id: int
    name: str
    scopes: frozenset[str]


def caller(request: Request, bearer: Credentials) -> Caller:
    """The service whose token came.

    Raises:
        ProblemError: 401 without a valid token, 429 too often.
    """
    desk = desk_of(request)
    if bearer is None:
        raise unauthorised(
            "This is for programs: send a token of `tagger service add NAME` as "
            "`Authorization: Bearer tagger-service-…`."
        )
    with desk.read() as session:
        found = tokens.owner(session, bearer.credentials, desk.now())
    if found is None:
        _slow_down_guessing(request)
        raise unauthorised(_not_valid(bearer.credentials))
    wait_s = desk.service_limit.wait_s(tokens.digest(bearer.credentials))
    if wait_s:
        raise too_often(wait_s)
    return Caller(id=found.id, name=found.name, scopes=frozenset(found.scopes))


def scoped(scope: Scope) -> Callable[[Request, Caller], Caller]:
    """A dependency: the service whose token came, if it has this scope."""

    def check(request: Request, service: Annotated[Caller, Depends(caller)]) -> Caller:
        if scope.value not in service.scopes:
            has = " and ".join(sorted(service.scopes))
            raise ProblemError(
                403,
                f"The service {service.name!r} has the scope {has}; this needs {scope.value}. "
                f"Let an operator run `tagger service scopes {service.name} …`.",
            )
        return service

    return check


# What an endpoint for programs takes as a parameter.
JobsService = Annotated[Caller, Depends(scoped(Scope.JOBS))]
ResultsService = Annotated[Caller, Depends(scoped(Scope.RESULTS))]


def _slow_down_guessing(request: Request) -> None:
    wait_s = desk_of(request).sign_in_limit_all.wait_s(f"service {address_of(request)}")
    if wait_s:
        raise too_often(wait_s)


def _not_valid(token: str) -> str:
    if tokens.has_form_of_token(token):
        return "This token is not valid any more. `tagger service token NAME` makes another."
    return "Expected a service's token, tagger-service-…; `tagger service add NAME` makes one."
