"""What Prometheus scrapes: the workers' counters, the ledger and the queues."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from catalog.queues import BULK_QUEUE, INGEST_QUEUE
from catalog.settings import Settings
from db.drift.nights import latest_night
from db.engine import reading
from db.events.vitals import Outbox, outbox
from db.ledger.summary import summarise
from db.ledger.vitals import vitals
from db.registry import bundles as registry
from db.webhooks.models import WebhookState
from db.webhooks.registering import standings
from worker.broker import connect, depths, redis_url
from worker.events.readers import readers
from worker.watch.metrics import directory


class SystemCollector(Collector):
    """Gauges read from the ledger and the broker at each scrape; what is away is reported as 0."""

    def __init__(self, chosen: Settings, engine: Engine) -> None:
        self._chosen = chosen
        self._sessions = reading(engine)

    def describe(self) -> list[Metric]:
        return []  # nothing is asked of the database before the first scrape

    def collect(self) -> Iterator[Metric]:
        """Read everything now."""
        for part, read in (("database", self._ledger), ("broker", self._queues)):
            up = GaugeMetricFamily(f"tagger_{part}_up", f"Whether the {part} answered.")
            try:
                found = list(read())
            except (SQLAlchemyError, redis.RedisError, OperatorError):
                found = []
            up.add_metric([], 1.0 if found else 0.0)
            yield from (up, *found)

    def _ledger(self) -> Iterator[Metric]:
        now = datetime.now(UTC)
        with self._sessions() as session:
            summary = summarise(session)
            signs = vitals(session, now, summary.oldest_queued_at)
            models = [*_models(session), *_drift(session), *_webhooks(session, now)]
            models += _events(outbox(session, now, readers(self._chosen)))
        products = GaugeMetricFamily("tagger_products", "Products by status.", labels=["status"])
        for status, number in summary.by_status.items():
            products.add_metric([status], number)
        letters = GaugeMetricFamily("tagger_dead_letters", "By reason.", labels=["reason"])
        for reason, number in summary.failed_by_reason.items():
            letters.add_metric([reason], number)
        yield from (products, letters, *models)
        reconciled = signs.reconciled_at
        for name, text, value in (
            (
                "oldest_unfinished_seconds",
                "Age of the oldest item.",
                signs.oldest_unfinished_s or 0,
            ),
            ("tagged_per_second", "Taggings of the last minute.", signs.tagged_per_s),
            ("flag_rate", "Share flagged in the last hour.", signs.flag_rate),
            ("retries_planned", "Products that wait for another attempt.", signs.retries_planned),
            ("retries_due", "Of these, due now.", signs.retries_due),
            (
                "reconciler_age_seconds",
                "Since the reconciler's last pass.",
                (now - reconciled).total_seconds() if reconciled else None,
            ),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"tagger_{name}", text, value=value)

    def _queues(self) -> Iterator[Metric]:
        waiting = depths(connect(redis_url(self._chosen)), (INGEST_QUEUE, BULK_QUEUE))
        gauge = GaugeMetricFamily("tagger_queue_messages", "Messages waiting.", labels=["queue"])
        for queue, number in waiting.items():
            gauge.add_metric([queue], number)
        yield gauge


def _models(session: Session) -> Iterator[Metric]:
    held = registry.roles(session)
    shares = GaugeMetricFamily(
        "tagger_model_share", "Share of the products by role.", labels=["role", "version"]
    )
    for each in (held.serving, held.canary, held.shadow):
        if each.sha256:
            shares.add_metric([each.role.value, each.version or ""], each.share)
    refused = GaugeMetricFamily(
        "tagger_bundles_refused", "Bundles that workers should use and refuse."
    )
    refused.add_metric([], sum(each.sha256 in held.in_use for each in registry.refusals(session)))
    yield from (shares, refused)


def _drift(session: Session) -> Iterator[Metric]:
    """What moved on the last day; its hosts are few (db/drift/counting.py)."""
    night = latest_night(session)
    if night is None:
        return
    moved = GaugeMetricFamily(
        "tagger_drift_moved",
        "Share of the last day's items that are elsewhere than before, beyond chance.",
        labels=["host", "measure"],
    )
    for each in night.findings:
        moved.add_metric([each.host, each.measure.value], each.moved)
    compared = GaugeMetricFamily("tagger_drift_comparisons", "Comparisons of the last night.")
    compared.add_metric([], night.comparisons)
    yield from (moved, compared)


def _webhooks(session: Session, now: datetime) -> Iterator[Metric]:
    """How far receivers have come; there are few (db/webhooks/registering.py)."""
    up = GaugeMetricFamily("tagger_webhook_up", "0: it stopped, or is paused.", labels=["webhook"])
    behind = GaugeMetricFamily(
        "tagger_webhook_behind_events", "Events after the last one taken.", labels=["webhook"]
    )
    failing = GaugeMetricFamily(
        "tagger_webhook_failing_seconds", "Since its first failed attempt.", labels=["webhook"]
    )
    found = standings(session)
    for each in found:
        name = [str(each.id)]
        since = each.failing_since
        up.add_metric(name, float(each.state is WebhookState.ACTIVE))
        behind.add_metric(name, each.behind)
        failing.add_metric(name, (now - since).total_seconds() if since else 0.0)
    if found:
        yield from (up, behind, failing)


def _events(box: Outbox) -> Iterator[Metric]:
    yield GaugeMetricFamily("tagger_events_last", "The newest event's number.", value=box.last)
    yield GaugeMetricFamily(
        "tagger_events_kept", "Events that readers may ask for.", value=box.kept
    )
    yield GaugeMetricFamily(
        "tagger_events_unnumbered_seconds",
        "Age of the oldest event that nobody could read yet.",
        value=box.unnumbered_s or 0.0,
    )
    behind = GaugeMetricFamily(
        "tagger_events_behind", "Events that a reader has still to take.", labels=["reader"]
    )
    oldest = GaugeMetricFamily(
        "tagger_events_behind_seconds", "Age of the oldest of these.", labels=["reader"]
    )
    for name, each in box.behind.items():
        behind.add_metric([name], each.events)
        oldest.add_metric([name], each.oldest_s or 0.0)
    if box.behind:
        yield from (behind, oldest)


# Readings of the children's files in one scrape, as one of them may go away during each. A scrape
# that finds none whole fails, and the next one is 15 s or so later.
SCRAPE_ATTEMPTS = 5


class WorkersCollector(Collector):
    """The sum of what all children counted.

    Children come and go while their files are read: one that starts makes its file before it
    writes to it, and a worker that starts deletes those of the dead (worker.watch.metrics.clear).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        """Merge the children's files.

        Raises:
            FileNotFoundError: files were deleted in each of SCRAPE_ATTEMPTS readings.
        """
        for _ in range(SCRAPE_ATTEMPTS - 1):
            with suppress(FileNotFoundError):
                return iter(self._merged())
        return iter(self._merged())

    def _merged(self) -> Iterable[Metric]:
        files = [str(each) for each in self._folder.glob("*.db") if each.stat().st_size]
        return MultiProcessCollector.merge(files)  # type: ignore[no-any-return, no-untyped-call]


def make_registry(chosen: Settings, engine: Engine) -> CollectorRegistry:
    """A registry of both."""
    registry = CollectorRegistry()
    registry.register(WorkersCollector(directory(chosen)))
    registry.register(SystemCollector(chosen, engine))
    return registry
