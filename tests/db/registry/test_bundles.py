"""Who serves, and how that changes: every change is kept, every one can be taken back."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from db.engine import reading, sessions
from db.registry import bundles as registry
from db.registry.bundles import RegistryError
from db.registry.models import RegisteredBundle, Role
from tests.factories import manifest

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def bundle(session: Session, version: str, *, sha256: str = "") -> RegisteredBundle:
    sha256 = sha256 or (version * 64)[:64]
    made = manifest(model_version=version)
    assert registry.register(session, sha256, made, f"decides {version}", by="ann", now=NOW)
    return registry.find(session, sha256)


def promote(session: Session, version: str) -> None:
    registry.promote(session, registry.find(session, version), by="ann", now=NOW)


def serving(session: Session) -> str | None:
    return registry.roles(session).serving.version


def test_an_empty_registry_leaves_serving_to_the_settings(session: Session) -> None:
    held = registry.roles(session)
    assert held.generation == 0
    assert held.serving.sha256 is held.canary.sha256 is held.shadow.sha256 is None
    with pytest.raises(RegistryError, match="TAGGER_BUNDLE serves"):
        registry.rollback(session, by="ann", now=NOW)


def test_a_promotion_while_roles_are_read_is_read_now_or_at_the_next_look(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        for version in ("a", "b"):
            bundle(session, version)
        promote(session, "a")

    statements = 0

    def promote_meanwhile(*_: object) -> None:
        nonlocal statements
        statements += 1
        if statements == 1:
            with sessions(engine).begin() as other:
                promote(other, "b")

    with reading(engine)() as session:
        session.execute(select(1))
        event.listen(engine, "after_cursor_execute", promote_meanwhile)
        held = registry.roles(session)
    event.remove(engine, "after_cursor_execute", promote_meanwhile)
    with reading(engine)() as session:
        now = registry.roles(session)
    assert (now.serving.version, now.generation) == ("b", 2)
    assert held.serving.version == "b" or held.generation < now.generation


def test_rollback_undoes_promotions_one_by_one_down_to_the_settings(session: Session) -> None:
    for version in ("a", "b", "c"):
        bundle(session, version)
        promote(session, version)
    found = []
    for _ in range(3):
        registry.rollback(session, by="bob", now=NOW)
        found.append(serving(session))
    assert found == ["b", "a", None]
    with pytest.raises(RegistryError, match="promotion to take back"):
        registry.rollback(session, by="bob", now=NOW)


def test_a_promotion_after_a_rollback_starts_from_where_that_led(session: Session) -> None:
    for version in ("a", "b", "c"):
        bundle(session, version)
    promote(session, "a")
    promote(session, "b")
    registry.rollback(session, by="bob", now=NOW)
    promote(session, "c")
    registry.rollback(session, by="bob", now=NOW)
    assert serving(session) == "a"


def test_the_history_says_who_when_from_what_to_what(session: Session) -> None:
    a, b = bundle(session, "a"), bundle(session, "b")
    registry.promote(session, a, by="ann", now=NOW)
    registry.promote(session, b, by="bob", now=NOW, forced=True, evidence={"audited": 3})
    registry.rollback(session, by="cyd", now=NOW)
    told = [
        (each.assigned_by, each.change, before, after, each.forced)
        for each, after, before in registry.history(session, 10)
    ]
    assert told == [
        ("cyd", "rollback", "b", "a", False),
        ("bob", "promote", "a", "b", True),
        ("ann", "promote", None, "a", False),
    ]
    newest_but_one = list(registry.history(session, 2))[1][0]
    assert newest_but_one.evidence == {"audited": 3}


def test_every_change_grows_the_generation(session: Session) -> None:
    a, b = bundle(session, "a"), bundle(session, "b")
    seen = [registry.roles(session).generation]
    for change in (
        lambda: registry.promote(session, a, by="ann", now=NOW),
        lambda: registry.try_out(session, Role.SHADOW, b, 0.5, by="ann", now=NOW),
        lambda: registry.retire(session, Role.SHADOW, by="ann", now=NOW),
        lambda: registry.rollback(session, by="ann", now=NOW),
    ):
        change()
        seen.append(registry.roles(session).generation)
    assert seen == sorted(set(seen))


def test_a_promoted_canary_is_no_canary_any_more(session: Session) -> None:
    bundle(session, "a")
    promote(session, "a")
    candidate = bundle(session, "b")
    registry.try_out(session, Role.CANARY, candidate, 0.1, by="ann", now=NOW)
    assert registry.roles(session).canary.share == 0.1
    promote(session, "b")
    held = registry.roles(session)
    assert (held.serving.version, held.canary.sha256) == ("b", None)


def test_what_serves_is_not_promoted_or_tried_again(session: Session) -> None:
    a = bundle(session, "a")
    promote(session, "a")
    with pytest.raises(RegistryError, match="serves already"):
        promote(session, "a")
    with pytest.raises(RegistryError, match="nothing to compare"):
        registry.try_out(session, Role.SHADOW, a, 1.0, by="ann", now=NOW)
    with pytest.raises(RegistryError, match="shadow to retire"):
        registry.retire(session, Role.SHADOW, by="ann", now=NOW)


def test_one_version_means_one_behaviour(session: Session) -> None:
    bundle(session, "a")
    again = manifest(model_version="a")
    assert not registry.register(session, "a" * 64, again, "decides a", by="x", now=NOW)
    assert registry.register(session, "f" * 64, again, "decides a", by="x", now=NOW)
    with pytest.raises(RegistryError, match="another model_version"):
        registry.register(session, "e" * 64, again, "decides otherwise", by="x", now=NOW)


def test_bundles_are_named_by_version_or_the_start_of_their_sha256(session: Session) -> None:
    bundle(session, "a", sha256="0123456789" + "0" * 54)
    bundle(session, "b", sha256="0123456999" + "0" * 54)
    assert registry.find(session, "a").version == "a"
    assert registry.find(session, "01234569").version == "b"
    with pytest.raises(RegistryError, match="found 2"):
        registry.find(session, "0123456")
    for wrong in ("0123", "%%%%%%", "c"):
        with pytest.raises(RegistryError, match="tagger model list"):
            registry.find(session, wrong)


def test_workers_fall_back_to_earlier_promotions_and_last_to_the_settings(
    session: Session,
) -> None:
    for version in ("a", "b", "c"):
        bundle(session, version)
        promote(session, version)
    assert registry.served_before(session) == ["b" * 64, "a" * 64, None]


def test_a_refusal_stays_until_its_worker_takes_it_back(session: Session) -> None:
    registry.refuse(session, "ingest@h", "a" * 64, "spoilt", NOW)
    registry.refuse(session, "ingest@h", "a" * 64, "still spoilt", NOW)
    registry.refuse(session, "bulk@h", "a" * 64, "spoilt", NOW)
    registry.forget_refusals(session, "bulk@h")
    assert [each.reason for each in registry.refusals(session)] == ["still spoilt"]
    registry.forget_refusals(session, "ingest@h", but=["a" * 64])
    assert len(registry.refusals(session)) == 1
