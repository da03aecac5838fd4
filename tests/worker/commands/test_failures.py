import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine

from catalog.cli import main
from catalog.failures import FailureCode
from catalog.outcomes import Failure, Outcome
from catalog.settings import settings
from catalog.status import ProductStatus
from db.engine import reading, sessions
from db.ledger.models import FailureRow, Product
from tests.databases import migrated_sqlite
from tests.factories import failed, record
from worker.broker import connect, depths
from worker.local.embedded import EmbeddedBroker

Tagger = Callable[..., Result]


@pytest.fixture
def engine(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("REDIS_URL", broker.url)
    engine = migrated_sqlite(settings().database)
    malformed = Failure(code=FailureCode.MALFORMED_PAYLOAD, detail="Expected a job.")
    with sessions(engine).begin() as session:
        letters = [
            failed("p1"),
            failed("p2", FailureCode.FETCH_TIMEOUT),
            failed("p3", FailureCode.PROCESSING_CRASHED),
            Outcome(subject="payload:1", job=None, result=malformed, payload="{}"),
        ]
        record(session, letters, datetime.now(UTC))
    yield engine
    engine.dispose()


@pytest.fixture
def tagger(engine: Engine) -> Tagger:
    return lambda *arguments: CliRunner().invoke(main, ["failures", *arguments])


def read(engine: Engine, table: type[Any], key: str) -> Any:
    with reading(engine)() as session:
        return session.get(table, key)


def waiting(broker: EmbeddedBroker) -> int:
    return depths(connect(broker.url), ("ingest",))["ingest"]


def test_list_shows_what_failed_and_why(tagger: Tagger) -> None:
    done = tagger("list")
    assert done.exit_code == 0
    for text in ("p1", "not_found", "fetch_timeout", "payload:1", "No picture of p1."):
        assert text in done.output
    lines = tagger("list", "--json", "--reason", "not_found").stdout.splitlines()
    assert [json.loads(line)["subject"] for line in lines] == ["p1"]


def test_show_says_what_the_reason_means(tagger: Tagger) -> None:
    shown = tagger("show", "p2").output
    assert "fetch_timeout: the bytes did not arrive in time (passing" in shown
    assert "file:///photos/p2.jpg" in shown
    unknown = tagger("show", "nobody")
    assert unknown.exit_code == 1
    assert "found none of nobody" in unknown.output


def test_replay_queues_again_and_keeps_the_letter_until_there_is_an_outcome(
    tagger: Tagger, engine: Engine, broker: EmbeddedBroker
) -> None:
    assert "1 accepted again" in tagger("replay", "p1").output
    row = read(engine, Product, "p1")
    assert (row.status, row.attempts) == (ProductStatus.QUEUED, 0)
    assert read(engine, FailureRow, "p1") is not None
    message = json.loads(connect(broker.url).lindex("ingest", 0))
    assert message["headers"]["id"] == row.message_id


def test_replay_of_a_reason_takes_all_that_have_it(tagger: Tagger, broker: EmbeddedBroker) -> None:
    assert "1 accepted again" in tagger("replay", "--reason", "fetch_timeout").output
    assert waiting(broker) == 1


def test_replayed_quarantine_runs_alone_again(tagger: Tagger, engine: Engine) -> None:
    tagger("replay", "p3")
    assert read(engine, Product, "p3").crashes == 1


def test_message_that_was_no_job_cannot_be_replayed(tagger: Tagger, broker: EmbeddedBroker) -> None:
    assert "0 accepted again, 1 were no products" in tagger("replay", "payload:1").output
    assert waiting(broker) == 0


def test_forget_deletes_the_letter_and_nothing_else(tagger: Tagger, engine: Engine) -> None:
    assert "1 forgotten" in tagger("forget", "p1").output
    assert read(engine, FailureRow, "p1") is None
    assert read(engine, Product, "p1").status == ProductStatus.FAILED


@pytest.mark.parametrize("command", ["replay", "forget"])
def test_all_must_be_asked_for_by_name(tagger: Tagger, command: str) -> None:
    assert tagger(command).exit_code == 2
    assert tagger(command, "p1", "--reason", "not_found").exit_code == 2


def test_what_a_sender_wrote_does_not_reach_the_terminal_as_control_characters(
    tagger: Tagger, engine: Engine
) -> None:
    rude = Failure(code=FailureCode.MALFORMED_PAYLOAD, detail="Expected a job; \x1b[2Jhello: no.")
    outcome = Outcome(subject="payload:rude", job=None, result=rude, payload="a\x1b]0;b\x07\u202e")
    with sessions(engine).begin() as session:
        record(session, [outcome], datetime.now(UTC))
    shown, listed = tagger("show", "payload:rude"), tagger("list")
    assert "\\x1b[2Jhello" in shown.output
    assert "a\\x1b]0;b\\x07\\u202e" in shown.output
    assert all(each.isprintable() for each in shown.output.splitlines())
    assert all(each.isprintable() for each in listed.output.splitlines())
