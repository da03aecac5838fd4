import json
import logging
from datetime import UTC, datetime

import pytest

from catalog.failures import FailureCode
from db.ledger.attempts import Attempt
from tests.factories import failed, flagged
from worker.watch.logs import JsonFormatter, log_outcomes

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ATTEMPTS = {
    each: Attempt(message_id=f"message-{each}", number=2, owner="w:1") for each in ("p1", "p2")
}


def entries(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records]


def test_each_item_is_one_line_that_names_task_product_and_model(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="tagger.items"):
        log_outcomes(
            [flagged("p1"), failed("p2", FailureCode.FETCH_TIMEOUT)], ATTEMPTS, {"p2": NOW}
        )
    tagged, retried = entries(caplog)
    assert tagged["task_id"] == "message-p1"
    assert (tagged["product_id"], tagged["model_version"]) == ("p1", "test-1")
    assert (tagged["outcome"], tagged["reasons"]) == ("needs_review", ["low_confidence"])
    assert (retried["outcome"], retried["retry_at"]) == ("retry_planned", NOW.isoformat())
    assert (retried["level"], retried["attempt"]) == ("WARNING", 2)


def test_any_message_and_any_traceback_is_one_line_of_json() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.LogRecord(
            "a", logging.ERROR, __file__, 1, "%s\n", ("x\ud800",), (ValueError, error, None)
        )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "two" in json.loads(line)["exception"]
