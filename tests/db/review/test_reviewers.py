from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.review import reviewers
from db.review.leases import claim
from db.review.models import Credential, CredentialKind, DeskSession, Role
from tests.desk import NOON, flag, person

TOKEN, LINK = CredentialKind.TOKEN, CredentialKind.LINK


def test_secret_is_stored_as_an_argon2_hash_only(session: Session) -> None:
    text = reviewers.issue(session, person(session), TOKEN, NOON)
    row = session.scalars(select(Credential)).one()
    assert row.secret_hash.startswith("$argon2id$")
    assert text.rpartition("-")[2] not in f"{row.selector} {row.secret_hash}"


def test_token_finds_its_owner_and_a_changed_one_nobody(session: Session) -> None:
    ada = person(session)
    text = reviewers.issue(session, ada, TOKEN, NOON)
    assert reviewers.owner(session, text, TOKEN, NOON) is ada
    nul = text.replace(text.split("-")[1], "\0" * 12)  # no key that PostgreSQL would take
    changed = text[:-1] + ("0" if text[-1] != "0" else "1")
    for wrong in (changed, text.upper(), "", "tagger--", "é" * 70, text + "\0", nul):
        assert reviewers.owner(session, wrong, TOKEN, NOON) is None
    assert reviewers.owner(session, text, LINK, NOON) is None


def test_new_token_ends_the_old_one_with_its_sessions_and_links(session: Session) -> None:
    ada, ben = person(session), person(session, "Ben")
    old, link = (reviewers.issue(session, ada, kind, NOON) for kind in (TOKEN, LINK))
    cookie, other = (reviewers.sign_in(session, each, NOON) for each in (ada, ben))
    new = reviewers.issue(session, ada, TOKEN, NOON)
    assert reviewers.owner(session, old, TOKEN, NOON) is None
    assert reviewers.redeem_link(session, link, NOON) is None
    assert reviewers.session_of(session, cookie, NOON) is None
    assert reviewers.owner(session, new, TOKEN, NOON) is ada
    assert reviewers.session_of(session, other, NOON) is not None


def test_new_link_ends_nothing(session: Session) -> None:
    ada = person(session)
    token, link = (reviewers.issue(session, ada, kind, NOON) for kind in (TOKEN, LINK))
    cookie = reviewers.sign_in(session, ada, NOON)
    reviewers.issue(session, ada, LINK, NOON)
    assert reviewers.owner(session, token, TOKEN, NOON) is ada
    assert reviewers.session_of(session, cookie, NOON) is not None
    assert reviewers.redeem_link(session, link, NOON) is ada


def test_link_lets_in_once_and_not_after_its_time(session: Session) -> None:
    ada = person(session)
    link, late = (reviewers.issue(session, ada, LINK, NOON) for _ in range(2))
    assert reviewers.redeem_link(session, link, NOON) is ada
    assert reviewers.redeem_link(session, link, NOON) is None
    assert reviewers.redeem_link(session, late, NOON + reviewers.LINK_VALID) is None


def test_disabled_reviewer_loses_everything_at_once(session: Session) -> None:
    ada = person(session)
    flag(session, "p1")
    claim(session, ada, NOON)
    token = reviewers.issue(session, ada, TOKEN, NOON)
    cookie = reviewers.sign_in(session, ada, NOON)
    reviewers.disable(session, "Ada", NOON)
    assert reviewers.owner(session, token, TOKEN, NOON) is None
    assert reviewers.session_of(session, cookie, NOON) is None
    assert len(claim(session, person(session, "Ben"), NOON)) == 1
    with pytest.raises(reviewers.ReviewerError, match="disabled"):
        reviewers.enabled(session, "Ada")


def test_session_ends_when_idle_and_after_a_week_in_any_case(session: Session) -> None:
    cookie = reviewers.sign_in(session, person(session), NOON)
    assert session.scalars(select(DeskSession)).one().cookie_sha256 != cookie
    now = NOON
    while now - NOON < reviewers.SESSION_LONGEST:
        assert reviewers.session_of(session, cookie, now) is not None
        reviewers.seen(session, cookie, now)
        now += timedelta(hours=11)
    assert reviewers.session_of(session, cookie, now) is None
    other = reviewers.sign_in(session, person(session, "Ben"), NOON)
    assert reviewers.session_of(session, other, NOON + timedelta(hours=13)) is None


def test_signing_out_ends_the_session(session: Session) -> None:
    cookie = reviewers.sign_in(session, person(session), NOON)
    reviewers.sign_out(session, cookie, NOON)
    assert reviewers.session_of(session, cookie, NOON) is None


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 65, "nul\0"])
def test_unusable_name_is_refused(session: Session, name: str) -> None:
    with pytest.raises(reviewers.ReviewerError, match="1-64 printable"):
        reviewers.add(session, name, Role.REVIEWER, NOON)


def test_name_that_differs_in_case_only_is_taken(session: Session) -> None:
    person(session, "Ada")
    with pytest.raises(reviewers.ReviewerError, match="'Ada' already"):
        person(session, "ADA ")
