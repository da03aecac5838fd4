from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.services import tokens
from db.services.models import Scope, ServiceToken
from db.services.tokens import ServiceError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_token_opens_and_only_its_hash_is_kept(session: Session) -> None:
    shop = tokens.add(session, "shop", [Scope.RESULTS, Scope.JOBS], NOW)
    token = tokens.issue(session, shop, NOW)
    found = tokens.owner(session, token, NOW)
    assert found is not None
    assert (found.name, found.scopes) == ("shop", ["jobs", "results"])
    kept = session.scalars(select(ServiceToken.token_sha256)).one()
    assert token not in kept
    assert len(kept) == 64


NONE = tokens.PREFIX + "0" * 64
OF_A_PERSON = "tagger-0123456789ab-" + "0" * 48


@pytest.mark.parametrize("text", ["", "x", NONE, f"{tokens.PREFIX}\x00", OF_A_PERSON, "\ud800"])
def test_what_was_never_handed_out_opens_nothing(session: Session, text: str) -> None:
    tokens.issue(session, tokens.add(session, "shop", list(Scope), NOW), NOW)
    assert tokens.owner(session, text, NOW) is None


def test_a_new_token_ends_the_old_one_at_once_or_when_asked(session: Session) -> None:
    shop = tokens.add(session, "shop", list(Scope), NOW)
    first, second = tokens.issue(session, shop, NOW), tokens.issue(session, shop, NOW)
    assert tokens.owner(session, first, NOW) is None
    third = tokens.issue(session, shop, NOW, old_end_at=NOW + timedelta(hours=2))
    session.expire_all()
    for hours, valid in ((1, True), (3, False)):
        later = NOW + timedelta(hours=hours)
        assert (tokens.owner(session, second, later) is not None) == valid
        assert tokens.owner(session, third, later) is not None
        assert tokens.owner(session, first, later) is None


def test_revoked_service_is_out_with_all_tokens_until_it_is_added_again(session: Session) -> None:
    shop = tokens.add(session, "shop", list(Scope), NOW)
    token = tokens.issue(session, shop, NOW)
    tokens.revoke(session, "shop", NOW)
    session.expire_all()
    assert tokens.owner(session, token, NOW) is None
    for refused in (tokens.revoke, tokens.enabled):
        with pytest.raises(ServiceError, match="is revoked"):
            refused(session, "shop", *([NOW] if refused is tokens.revoke else []))
    again = tokens.add(session, "shop", [Scope.JOBS], NOW)
    assert again.id == shop.id
    assert tokens.owner(session, token, NOW) is None
    assert tokens.owner(session, tokens.issue(session, again, NOW), NOW) is again


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "a\nb", "\ud800", "x" * 65, "Shop", "shop"])
def test_names_that_are_taken_or_no_names_are_refused(session: Session, name: str) -> None:
    tokens.add(session, "shop", list(Scope), NOW)
    with pytest.raises(ServiceError):
        tokens.add(session, name, list(Scope), NOW)


def test_unknown_service_is_told_which_there_are(session: Session) -> None:
    tokens.add(session, "shop", list(Scope), NOW)
    with pytest.raises(ServiceError, match=r"named 'shpo' \(there are: shop\)"):
        tokens.set_scopes(session, "shpo", [Scope.JOBS])
    with pytest.raises(ServiceError, match="at least one scope"):
        tokens.set_scopes(session, "shop", [])
