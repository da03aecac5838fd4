"""Who may send jobs and read results over HTTP: services, and the tokens they show."""

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from db.services.models import Scope, Service, ServiceToken

PREFIX = "tagger-service-"
_SECRET_BYTES = 32
_FORM = re.compile(rf"{PREFIX}[0-9a-f]{{{2 * _SECRET_BYTES}}}")
_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")


class ServiceError(OperatorError):
    """No such service, or one that cannot be made."""


def add(session: Session, name: str, scopes: Collection[Scope], now: datetime) -> Service:
    """Add a service, or let a revoked one in again; names differ in more than case.

    Raises:
        ServiceError: the name is taken or cannot be used.
    """
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise ServiceError(f"Expected a name of 1-64 printable characters, received {name[:80]!r}.")
    known = {each.name.casefold(): each for each in everyone(session)}
    found = known.get(name.casefold())
    if found is not None and (found.revoked_at is None or found.name != name):
        raise ServiceError(
            f"There is a service {found.name!r} already. `tagger service token` makes it another "
            "token, `tagger service scopes` changes what it may do."
        )
    if found is None:
        found = Service(name=name, created_at=now)
        session.add(found)
    found.scopes, found.revoked_at = _sorted(scopes), None
    session.flush()
    return found


def everyone(session: Session) -> Sequence[Service]:
    """All services by name, revoked ones too."""
    return session.scalars(select(Service).order_by(Service.name)).all()


def enabled(session: Session, name: str) -> Service:
    """The service of this name, which may work.

    Raises:
        ServiceError: there is none, or it is revoked.
    """
    found = session.scalar(select(Service).where(Service.name == name.strip()))
    if found is None:
        known = ", ".join(each.name for each in everyone(session)) or "none yet"
        raise ServiceError(
            f"Expected a service, found none named {name[:64]!r} (there are: {known}). "
            "Add one with `tagger service add NAME`."
        )
    if found.revoked_at is not None:
        raise ServiceError(
            f"The service {found.name!r} is revoked. `tagger service add` lets it in again."
        )
    return found


def set_scopes(session: Session, name: str, scopes: Collection[Scope]) -> Service:
    """Let a service do this and nothing else, from its next request on.

    Raises:
        ServiceError: there is none, or it is revoked.
    """
    found = enabled(session, name)
    found.scopes = _sorted(scopes)
    return found


def issue(
    session: Session, service: Service, now: datetime, *, old_end_at: datetime | None = None
) -> str:
    """A new token of the service, to be shown once; the ones before end then, or now."""
    _end_tokens(session, service, old_end_at or now)
    token = PREFIX + secrets.token_hex(_SECRET_BYTES)
    session.add(ServiceToken(token_sha256=digest(token), service_id=service.id, created_at=now))
    session.flush()
    return token


def revoke(session: Session, name: str, now: datetime) -> Service:
    """Let a service in no more: its tokens end at once.

    Raises:
        ServiceError: there is none, or it is revoked already.
    """
    found = enabled(session, name)
    found.revoked_at = now
    _end_tokens(session, found, now)
    return found


def has_form_of_token(text: str) -> bool:
    """Whether it looks like a service's token, valid or not."""
    return _FORM.fullmatch(text) is not None


def digest(token: str) -> str:
    """What the table knows a token by."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def owner(session: Session, token: str, now: datetime) -> Service | None:
    """Whose token this is, if it is valid."""
    found = session.get(ServiceToken, digest(token)) if has_form_of_token(token) else None
    if found is None or (found.ends_at is not None and found.ends_at <= now):
        return None
    service = session.get_one(Service, found.service_id)
    return service if service.revoked_at is None else None


def running_tokens(session: Session, service: Service, now: datetime) -> int:
    """How many of its tokens are valid."""
    mine = select(ServiceToken.ends_at).where(ServiceToken.service_id == service.id)
    return sum(ends_at is None or ends_at > now for ends_at in session.scalars(mine))


def _end_tokens(session: Session, service: Service, at: datetime) -> None:
    session.execute(
        update(ServiceToken)
        .where(
            ServiceToken.service_id == service.id,
            or_(ServiceToken.ends_at.is_(None), ServiceToken.ends_at > at),
        )
        .values(ends_at=at)
    )


def _sorted(scopes: Collection[Scope]) -> list[str]:
    if not scopes:
        names = " and ".join(scope.value for scope in Scope)
        raise ServiceError(f"Expected at least one scope; there are {names}.")
    return sorted({scope.value for scope in scopes})
