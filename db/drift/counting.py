"""Counting what came on a day into histograms, page by page, whatever the day's size.

Taggings of re-tagging runs are left out: they say what the catalog holds, not what comes.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, Select, or_, select, tuple_
from sqlalchemy.orm import Session, sessionmaker

from catalog.drift import (
    ACCEPTED,
    ALL_HOSTS,
    FLAGGED,
    OTHER_HOSTS,
    Measure,
    confidence_bin,
    distance_bin,
    host_of,
)
from catalog.drift_distances import distances, edges_of
from db.drift.models import DriftCount, DriftDay, DriftReference
from db.ledger.models import Product, Tagging, Thumbnail
from db.retag.message_ids import ANY_RUN
from db.upsert import insert, insert_many

PAGE_SIZE = 2_000
# Hosts that have histograms of their own; what is counted while a day is read is bounded, too.
HOSTS_MAX = 50
HOSTS_READ_MAX = 2_000
SAMPLE_SIZE = 256
ROWS_AT_ONCE = 5_000

Key = tuple[str, str, str, str]  # model version, host, measure, bin


class Reference:
    """The pictures that one network of one model saw first."""

    def __init__(self, stored: DriftReference | None) -> None:
        self.edges = stored.edges if stored else None
        self._sample: list[NDArray[np.float16]] = []
        if stored:
            vectors = np.frombuffer(stored.sample, np.float16).reshape(stored.size, -1)
            self._sample = list(vectors)

    def bins(self, embeddings: Sequence[bytes]) -> list[str | None]:
        """The bin of each embedding; None of those that become part of the sample."""
        vectors = [np.frombuffer(each, np.float16) for each in embeddings]
        found: list[str | None] = []
        if self.edges is None:
            room = SAMPLE_SIZE - len(self._sample)
            self._sample += vectors[:room]
            found, vectors = [None] * min(room, len(vectors)), vectors[room:]
            if len(self._sample) == SAMPLE_SIZE:
                self.edges = edges_of(self._vectors)
        if vectors:
            assert self.edges is not None
            apart = distances(np.stack(vectors).astype(np.float32), self._vectors)
            found += [distance_bin(float(each), self.edges) for each in apart]
        return found

    def row(self) -> dict[str, Any]:
        """What is stored of it."""
        return {
            "size": len(self._sample),
            "sample": np.stack(self._sample).tobytes(),
            "edges": self.edges,
        }

    @property
    def _vectors(self) -> NDArray[np.float32]:
        return np.stack(self._sample).astype(np.float32)


class DayCounter:
    """The histograms of one day; references grow from day to day."""

    def __init__(self, references: dict[tuple[str, str], Reference]) -> None:
        self.references = references
        self.counts: Counter[Key] = Counter()
        self.items = 0
        self._by_host: Counter[str] = Counter()

    def add(self, page: Sequence[Row[Any]]) -> None:
        """Count taggings."""
        bins = self._distance_bins(page)
        for tagging, distance in zip(page, bins, strict=True):
            host = host_of(tagging.image_uri)
            if host not in self._by_host and len(self._by_host) >= HOSTS_READ_MAX:
                host = OTHER_HOSTS
            self._by_host[host] += 1
            for measure, found in (
                (Measure.LABEL, tagging.label),
                (Measure.CONFIDENCE, confidence_bin(tagging.confidence)),
                (Measure.FLAGGED, FLAGGED if tagging.flagged else ACCEPTED),
                (Measure.DISTANCE, distance),
            ):
                if found is not None:
                    self.counts[tagging.model_version, host, measure.value, found] += 1
        self.items += len(page)

    def rows(self) -> Iterable[tuple[Key, int]]:
        """The counts of the largest hosts, of the others together, and of all."""
        named = Counter({each: n for each, n in self._by_host.items() if each != OTHER_HOSTS})
        kept = {host for host, _ in named.most_common(HOSTS_MAX)}
        whole: Counter[Key] = Counter()
        for (version, host, measure, found), items in self.counts.items():
            whole[version, host if host in kept else OTHER_HOSTS, measure, found] += items
            whole[version, ALL_HOSTS, measure, found] += items
        return whole.items()

    def _distance_bins(self, page: Sequence[Row[Any]]) -> list[str | None]:
        found: list[str | None] = [None] * len(page)
        pairs = {(each.model_version, each.network) for each in page if each.embedding}
        for pair in sorted(pairs):
            at = [
                index
                for index, each in enumerate(page)
                if (each.model_version, each.network) == pair and each.embedding
            ]
            reference = self.references.setdefault(pair, Reference(None))
            for index, where in zip(
                at, reference.bins([page[index].embedding for index in at]), strict=True
            ):
                found[index] = where
        return found


def counted_days(session: Session, since: date) -> set[date]:
    """The days from `since` on whose taggings were counted."""
    return set(session.scalars(select(DriftDay.day).where(DriftDay.day >= since)))


def count_day(
    reading: sessionmaker[Session], writing: sessionmaker[Session], day: date, now: datetime
) -> bool:
    """Count one day and store it; False where somebody else has stored it meanwhile.

    It is read in short transactions, and written in one.
    """
    with reading() as session:
        known = session.scalars(select(DriftReference)).all()
        stored = {(each.model_version, each.network): Reference(each) for each in known}
    whole = {pair for pair, each in stored.items() if each.edges is not None}
    counter = DayCounter(stored)
    cursor: tuple[datetime, int] | None = None
    while True:
        with reading() as session:
            page = session.execute(_page(day, cursor)).all()
        if not page:
            break
        counter.add(page)
        cursor = page[-1].tagged_at, page[-1].id
    with writing.begin() as session:
        return _store(session, day, counter, whole, now)


def _store(
    session: Session,
    day: date,
    counter: DayCounter,
    whole: set[tuple[str, str]],
    now: datetime,
) -> bool:
    mark = insert(session, DriftDay).values(day=day, items=counter.items, counted_at=now)
    mine = session.scalars(mark.on_conflict_do_nothing().returning(DriftDay.day)).first()
    if mine is None:
        return False
    rows = [
        {"day": day, "model_version": version, "host": host, "measure": measure, "bin": found,
         "items": items}
        for (version, host, measure, found), items in counter.rows()
    ]  # fmt: skip
    for start in range(0, len(rows), ROWS_AT_ONCE):
        session.execute(*insert_many(session, DriftCount, rows[start : start + ROWS_AT_ONCE]))
    for (version, network), reference in counter.references.items():
        if (version, network) in whole:
            continue
        fields = reference.row()
        statement = insert(session, DriftReference).values(
            model_version=version, network=network, **fields
        )
        session.execute(
            statement.on_conflict_do_update(
                index_elements=[DriftReference.model_version, DriftReference.network], set_=fields
            )
        )
    return True


def _page(day: date, cursor: tuple[datetime, int] | None) -> Select[*tuple[Any, ...]]:
    start = datetime.combine(day, time.min, UTC)
    wanted = (
        select(
            Tagging.id,
            Tagging.tagged_at,
            Tagging.model_version,
            Tagging.network,
            Tagging.label,
            Tagging.confidence,
            Tagging.flagged,
            Product.image_uri,
            Thumbnail.embedding,
        )
        .join(Product, Product.id == Tagging.product_id)
        .outerjoin(Thumbnail, Thumbnail.tagging_id == Tagging.id)
        .where(Tagging.tagged_at >= start, Tagging.tagged_at < start + timedelta(days=1))
        .where(
            or_(
                Product.settled_message_id.is_(None),
                ~Product.settled_message_id.startswith(ANY_RUN, autoescape=True),
            )
        )
        .order_by(Tagging.tagged_at, Tagging.id)
        .limit(PAGE_SIZE)
    )
    if cursor is not None:
        wanted = wanted.where(tuple_(Tagging.tagged_at, Tagging.id) > tuple_(*cursor))
    return wanted
