from datetime import UTC, datetime

from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from db.ledger.accepting import accept
from db.ledger.recording import record_model
from db.ledger.results import results, unfinished
from db.ledger.summary import summarise
from tests.factories import failed, flagged, job, manifest, record, tagged

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_summary_counts_products_by_what_became_of_them(session: Session) -> None:
    record_model(session, manifest(), NOW)
    both = (FlagReason.LOW_CONFIDENCE, FlagReason.OUT_OF_TAXONOMY)
    accept(session, [job("waiting")], NOW)
    record(session, [tagged("a"), flagged("b"), flagged("c", reasons=both)], NOW)
    record(session, [failed("d")], NOW)
    summary = summarise(session)
    assert summary.by_status == {"needs_review": 2, "tagged": 1, "failed": 1, "queued": 1}
    assert summary.by_label == {"bag": 3}
    assert summary.flagged_by_reason == {"low_confidence": 2, "out_of_taxonomy": 1}
    assert summary.failed_by_reason == {"not_found": 1}
    assert summary.by_model == {"test-1": 3}
    assert summary.by_network == {"reduced": 3}
    assert (summary.products, summary.unfinished) == (5, 1)
    assert summary.oldest_queued_at == NOW


def test_summary_of_an_empty_ledger_is_all_zero(session: Session) -> None:
    summary = summarise(session)
    assert summary.products == 0
    assert summary.oldest_queued_at is None


def test_products_without_a_row_count_as_unfinished(session: Session) -> None:
    record_model(session, manifest(), NOW)
    record(session, [tagged("a"), failed("b")], NOW)
    accept(session, [job("c")], NOW)
    assert unfinished(session, ["a", "b", "c", "never seen"]) == 2
    assert {each.product_id: each.label for each in results(session, ["a", "b"])} == {
        "a": "bag",
        "b": None,
    }
