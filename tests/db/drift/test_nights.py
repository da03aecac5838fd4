"""What came each day is counted once, compared once, and told where it moved."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from catalog.drift import ALL_HOSTS, FILES, Measure
from db.drift import counting
from db.drift.comparing import COUNTS_KEPT, compare_night
from db.drift.models import DriftCount, DriftDay, DriftNight, DriftReference
from db.drift.nights import Night, latest_night
from db.engine import reading, sessions
from db.events.numbering import number_new
from db.events.reading import last_number, read
from tests.days import DIMENSIONS, a_picture, write
from worker.drift.nightly import DriftWatch, watch

NOW = datetime(2026, 3, 1, 3, 30, tzinfo=UTC)
YESTERDAY = datetime(2026, 2, 28, 12, tzinfo=UTC)
LABELS = ("bag", "coat", "dress", "shirt")


def ordinary(
    days: int = 29, items: int = 60, seed: int = 3, **fields: Any
) -> Iterator[dict[str, Any]]:
    """The same each day, but for chance."""
    rng = np.random.default_rng(seed)
    for day in range(days):
        for number in range(items):
            yield a_picture(
                YESTERDAY - timedelta(days=day, seconds=number),
                **{
                    "label": str(rng.choice(LABELS)),
                    "confidence": float(rng.uniform(0.4, 1)),
                    "flagged": bool(rng.random() < 0.1),
                    "embedding": rng.normal(3, 1, DIMENSIONS),
                }
                | fields,
            )


def night_of(engine: Engine, *pictures: dict[str, Any]) -> Night:
    with sessions(engine).begin() as session:
        write(session, pictures)
    night = watch(engine, NOW)
    assert night is not None
    return night


def test_ordinary_days_move_nothing(engine: Engine) -> None:
    night = night_of(engine, *ordinary(), *ordinary(host="b.example", seed=4))
    assert night.day.isoformat() == "2026-02-28"
    assert (night.model_version, night.items) == ("test-1", 120)
    assert night.comparisons == 3 * len(Measure)  # two hosts, and all together
    assert night.findings == []
    with reading(engine)() as session:
        assert last_number(session) == 0


@pytest.mark.parametrize(
    ("measure", "fields", "largest"),
    [
        (Measure.LABEL, {"label": "hat"}, "hat"),
        (Measure.CONFIDENCE, {"confidence": 0.15}, "0.1-0.2"),
        (Measure.FLAGGED, {"flagged": True}, "flagged"),
        (Measure.DISTANCE, {"embedding": [-3.0] * DIMENSIONS}, "tenth 10 of 10"),
    ],
)
def test_what_moved_is_told_by_host(
    engine: Engine, measure: Measure, fields: dict[str, Any], largest: str
) -> None:
    """Only the last day's pictures of one of two hosts are others."""
    steady = [*ordinary(host="steady.example"), *ordinary(28, host="new.example", seed=4)]
    for each in steady[29 * 60 :]:
        each["at"] -= timedelta(days=1)
    moved = [*ordinary(1, host="new.example", seed=5, **fields)]
    night = night_of(engine, *steady, *moved)
    told = {(each.host, each.measure) for each in night.findings}
    assert told == {("new.example", measure), (ALL_HOSTS, measure)}
    first = night.findings[0]
    assert (first.host, first.items) == ("new.example", 60)
    assert first.moved > 0.5
    assert first.p_adjusted < 1e-4
    assert largest in {each.bin for each in first.changes}
    assert f"{measure.value} of new.example: " in first.sentence
    with sessions(engine).begin() as session:
        number_new(session)
    with reading(engine)() as session:
        event = read(session, 0).events[-1]
    assert (event.kind, event.product_id) == ("drift", None)
    of_labels = {"taxonomy": "fashion-mnist", "taxonomy_version": 1}
    assert event.payload == night.as_json() | of_labels


def test_a_night_is_compared_once_and_days_are_made_up_for(engine: Engine) -> None:
    night = night_of(engine, *ordinary())
    assert watch(engine, NOW) is None
    with reading(engine)() as session:
        assert session.scalar(select(func.count()).select_from(DriftDay)) == 29
        assert latest_night(session) == night
    later = watch(engine, NOW + timedelta(days=3))
    assert later is not None
    assert (later.items, later.comparisons, later.model_version) == (0, 0, None)
    with reading(engine)() as session:
        assert session.scalar(select(func.count()).select_from(DriftDay)) == 32


def test_day_that_another_process_has_counted_is_left_alone(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        write(session, ordinary(1))
    ways = reading(engine), sessions(engine), YESTERDAY.date(), NOW
    assert counting.count_day(*ways)
    assert not counting.count_day(*ways)
    with reading(engine)() as session:
        labels = select(func.sum(DriftCount.items)).where(
            DriftCount.measure == Measure.LABEL.value, DriftCount.host == "a.example"
        )
        assert session.scalar(labels) == 60


def test_runs_and_other_models_say_nothing_of_what_comes(engine: Engine) -> None:
    again = ordinary(1, 200, seed=4, run=3, label="hat")
    other = ordinary(1, 50, seed=5, model_version="other", label="hat")
    night = night_of(engine, *ordinary(), *again, *other)
    assert (night.items, night.model_version, night.findings) == (60, "test-1", [])


def test_memory_is_bounded_in_pages_and_hosts(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages of 7, one of which ends within a second; two hosts of a hundred are kept apart."""
    monkeypatch.setattr(counting, "PAGE_SIZE", 7)
    monkeypatch.setattr(counting, "HOSTS_MAX", 2)
    monkeypatch.setattr(counting, "HOSTS_READ_MAX", 20)
    same = [a_picture(YESTERDAY, host="big.example") for _ in range(30)]
    many = [a_picture(YESTERDAY, host=f"h{number}.example") for number in range(100)]
    files = [a_picture(YESTERDAY, host="second.example") for _ in range(20)]
    night = night_of(engine, *same, *files, *many)
    assert night.items == 150
    with reading(engine)() as session:
        hosts = dict(
            session.execute(
                select(DriftCount.host, func.sum(DriftCount.items))
                .where(DriftCount.measure == Measure.LABEL.value)
                .group_by(DriftCount.host)
            ).all()
        )
    assert len(hosts) == 4
    assert FILES not in hosts
    assert (hosts["big.example"], hosts[ALL_HOSTS]) == (30, 150)


def test_reference_grows_over_nights_until_it_is_whole(engine: Engine) -> None:
    with sessions(engine).begin() as session:
        write(session, ordinary(4, 100))
    for day, (size, bins) in enumerate(((100, 0), (200, 0), (256, 44), (256, 100))):
        when = YESTERDAY - timedelta(days=3 - day)
        counting.count_day(reading(engine), sessions(engine), when.date(), NOW)
        with reading(engine)() as session:
            assert session.scalars(select(DriftReference)).one().size == size
            counted = select(func.sum(DriftCount.items)).where(
                DriftCount.measure == Measure.DISTANCE.value,
                DriftCount.host == ALL_HOSTS,
                DriftCount.day == when.date(),
            )
            assert (session.scalar(counted) or 0) == bins


def test_old_counts_go(engine: Engine) -> None:
    night_of(engine, *ordinary(1))
    with sessions(engine).begin() as session:
        compare_night(session, YESTERDAY.date() + COUNTS_KEPT + timedelta(days=1), NOW)
        assert session.scalar(select(func.count()).select_from(DriftCount)) == 0
        assert session.scalar(select(func.count()).select_from(DriftNight)) == 2


def test_watch_leaves_the_upkeep_free_and_is_never_at_it_twice(engine: Engine) -> None:
    watching = DriftWatch(engine)
    watching.start()
    first = watching._thread
    assert first is not None
    watching.start()
    first.join(timeout=60)
    assert not first.is_alive()
    with reading(engine)() as session:
        assert latest_night(session) is not None
