"""Structured logs: one JSON object a line."""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from catalog.outcomes import Failure, Outcome
from catalog.redaction import without_secrets
from db.ledger.attempts import Attempt

# Only these of a record's attributes are fields of ours; everything else is logging's own.
FIELDS = (
    "task_id",
    "product_id",
    "model_version",
    "outcome",
    "label",
    "confidence",
    "reasons",
    "attempt",
    "retry_at",
)

items = logging.getLogger("tagger.items")


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, process and the fields of FIELDS that a record has.

    Whoever logs what, a library too: addresses lose their passwords and query strings.
    """

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": without_secrets(record.getMessage()),
        }
        entry |= {
            name: getattr(record, name)
            for name in FIELDS
            if getattr(record, name, None) is not None
        }
        if record.exc_info:
            entry["exception"] = without_secrets(self.formatException(record.exc_info))
        return json.dumps(entry, default=str)


def log_as_json(logger: logging.Logger, **options: Any) -> None:
    """Receiver of Celery's after_setup_logger: every handler writes JSON."""
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())


def log_outcomes(
    outcomes: Sequence[Outcome],
    attempts: Mapping[str, Attempt],
    retries: Mapping[str, datetime],
) -> None:
    """One line for each item: what became of it, in which message, by which model."""
    if not items.isEnabledFor(logging.INFO):
        return
    for outcome in outcomes:
        result = outcome.result
        attempt = attempts.get(outcome.subject)
        fields: dict[str, Any] = {
            "task_id": attempt.message_id if attempt else None,
            "product_id": outcome.subject,
            "attempt": attempt.number if attempt else None,
        }
        if isinstance(result, Failure):
            retry_at = retries.get(outcome.subject)
            fields |= {
                "outcome": "retry_planned" if retry_at else "failed",
                "reasons": [result.code.value],
                "retry_at": retry_at.isoformat() if retry_at else None,
            }
            items.warning("%s: %s", result.code.value, result.detail, extra=fields)
        else:
            fields |= {
                "outcome": "needs_review" if result.flagged else "tagged",
                "model_version": result.model_version,
                "label": result.label,
                "confidence": round(result.confidence, 4),
                "reasons": [reason.value for reason in result.reasons],
            }
            items.info("tagged %s", result.label, extra=fields)
