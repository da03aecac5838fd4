"""The people at the review desk: who they are, and how they get in."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.review.credentials import cookie_digest, matches, new_secret, selector_of
from db.review.errors import ReviewError
from db.review.models import Credential, CredentialKind, DeskSession, Reviewer, ReviewItem, Role

SESSION_IDLE = timedelta(hours=12)
SESSION_LONGEST = timedelta(days=7)
SEEN_EVERY = timedelta(minutes=1)
LINK_VALID = timedelta(hours=12)
NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,64}")


class ReviewerError(ReviewError):
    """No such reviewer, or one that cannot be made."""


def add(session: Session, name: str, role: Role, now: datetime) -> Reviewer:
    """Add a reviewer; names differ in more than case.

    Raises:
        ReviewerError: the name is taken or cannot be used.
    """
    name = name.strip()
    if not NAME.fullmatch(name):
        raise ReviewerError(
            f"Expected a name of 1-64 printable characters, received {name[:80]!r}."
        )
    taken = [each.name for each in everyone(session) if each.name.casefold() == name.casefold()]
    if taken:
        raise ReviewerError(f"There is a reviewer {taken[0]!r} already. Choose another name.")
    reviewer = Reviewer(name=name, role=role, created_at=now)
    session.add(reviewer)
    session.flush()
    return reviewer


def everyone(session: Session) -> Sequence[Reviewer]:
    """All reviewers by name, disabled ones too."""
    return session.scalars(select(Reviewer).order_by(Reviewer.name)).all()


def named(session: Session, name: str) -> Reviewer:
    """The reviewer of this name.

    Raises:
        ReviewerError: there is none.
    """
    found = session.scalar(select(Reviewer).where(Reviewer.name == name.strip()))
    if found is None:
        known = ", ".join(each.name for each in everyone(session)) or "nobody yet"
        raise ReviewerError(
            f"Expected a reviewer, found none named {name[:64]!r} (there are: {known}). "
            "Add one with `tagger reviewer add NAME`."
        )
    return found


def enabled(session: Session, name: str) -> Reviewer:
    """The same, and they may work.

    Raises:
        ReviewerError: there is none, or they are disabled.
    """
    found = named(session, name)
    if found.disabled_at is not None:
        raise ReviewerError(f"The reviewer {found.name!r} is disabled.")
    return found


def disable(session: Session, name: str, now: datetime) -> Reviewer:
    """Let nobody in under this name any more: sessions and secrets end, leases go back."""
    reviewer = named(session, name)
    reviewer.disabled_at = reviewer.disabled_at or now
    _end_all(session, reviewer, now)
    session.execute(
        update(ReviewItem)
        .where(ReviewItem.leased_by == reviewer.id)
        .values(leased_by=None, leased_until=None)
    )
    return reviewer


def issue(session: Session, reviewer: Reviewer, kind: CredentialKind, now: datetime) -> str:
    """A new secret of the reviewer, to be shown once.

    A new token ends the ones before with all that they opened, links and sessions: whoever had
    the old one is out.
    """
    if kind is CredentialKind.TOKEN:
        _end_all(session, reviewer, now)
    secret = new_secret()
    session.add(
        Credential(
            selector=secret.selector,
            reviewer_id=reviewer.id,
            kind=kind,
            secret_hash=secret.secret_hash,
            created_at=now,
            expires_at=now + LINK_VALID if kind is CredentialKind.LINK else None,
        )
    )
    session.flush()
    return secret.text


def handed_out(session: Session, text: str) -> str | None:
    """The selector of a secret that was handed out once, right or wrong in its secret half."""
    selector = selector_of(text)
    return selector if selector and session.get(Credential, selector) else None


def owner(session: Session, text: str, kind: CredentialKind, now: datetime) -> Reviewer | None:
    """Whose secret this is, if it is valid; takes about as long if it is not."""
    selector = selector_of(text)
    credential = session.get(Credential, selector) if selector else None
    if credential is None or credential.kind != kind:
        matches(text, None)
        return None
    if not matches(text, credential.secret_hash) or not _running(credential, now):
        return None
    return active(session, credential.reviewer_id)


def redeem_link(session: Session, text: str, now: datetime) -> Reviewer | None:
    """Whose link this is; nobody's from then on."""
    reviewer = owner(session, text, CredentialKind.LINK, now)
    if reviewer is None:
        return None
    used = session.execute(
        update(Credential)
        .where(Credential.selector == selector_of(text), Credential.ended_at.is_(None))
        .values(ended_at=now)
        .returning(Credential.selector)
    ).first()
    return reviewer if used else None  # of two at the same time, one gets in


def token_runs(
    session: Session, selector: str, now: datetime, *, lock: bool = False
) -> Reviewer | None:
    """The owner of a token that was verified before, if it is still valid.

    With `lock` it stays valid until the transaction ends: nobody ends it in between.
    """
    credential = session.get(Credential, selector, with_for_update=lock or None)
    if credential is None or not _running(credential, now):
        return None
    return active(session, credential.reviewer_id)


def active(session: Session, reviewer_id: int) -> Reviewer | None:
    reviewer = session.get(Reviewer, reviewer_id)
    return reviewer if reviewer is not None and reviewer.disabled_at is None else None


def sign_in(session: Session, reviewer: Reviewer, now: datetime) -> str:
    """Start a session; the cookie's value, 256 random bits."""
    cookie = secrets.token_urlsafe(32)
    session.add(
        DeskSession(
            cookie_sha256=cookie_digest(cookie),
            reviewer_id=reviewer.id,
            created_at=now,
            seen_at=now,
        )
    )
    session.flush()
    return cookie


def session_of(session: Session, cookie: str, now: datetime) -> DeskSession | None:
    """The running session of a cookie, if its reviewer may still work."""
    found = session.get(DeskSession, cookie_digest(cookie))
    if found is None or found.ended_at is not None:
        return None
    if now - found.seen_at > SESSION_IDLE or now - found.created_at > SESSION_LONGEST:
        return None
    return found if active(session, found.reviewer_id) else None


def seen(session: Session, cookie: str, now: datetime) -> None:
    """Keep a session from ending for idleness."""
    session.execute(
        update(DeskSession)
        .where(DeskSession.cookie_sha256 == cookie_digest(cookie))
        .values(seen_at=now)
    )


def sign_out(session: Session, cookie: str, now: datetime) -> None:
    """End a session for good."""
    session.execute(
        update(DeskSession)
        .where(DeskSession.cookie_sha256 == cookie_digest(cookie))
        .values(ended_at=now)
    )


def _end_all(session: Session, reviewer: Reviewer, now: datetime) -> None:
    """End every secret first, then every session: one cannot make another in between."""
    for table in (Credential, DeskSession):
        session.execute(
            update(table)
            .where(table.reviewer_id == reviewer.id, table.ended_at.is_(None))
            .values(ended_at=now)
        )


def _running(credential: Credential, now: datetime) -> bool:
    in_time = credential.expires_at is None or now < credential.expires_at
    return credential.ended_at is None and in_time
