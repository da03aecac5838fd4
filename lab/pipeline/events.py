"""What events add to recording a batch, and what numbering and reading them costs beside it.

CPU of this process and of its PostgreSQL backend, so that other programs on the machine matter
less; with and without events in turns. The server's is counted in ticks of 10 ms, so that only the
mean of many turns says something.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from catalog.bundle import Manifest
from catalog.jobs import Job
from catalog.networks import NetworkName
from catalog.outcomes import Outcome, Tagging
from db import migrate
from db.engine import make_engine, sessions
from db.events.numbering import number_new
from db.events.reading import read
from db.ledger import recording
from db.ledger.attempts import Delivery, begin
from db.ledger.models import Product
from db.ledger.recording import record_model, record_outcomes

BATCH = 64
TURNS = 80
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class EventCosts:
    """Milliseconds of CPU for each image, client and database server together.

    recording: begin and store without events. added: what events add to it. numbering: beside it,
    in whoever reads; none on SQLite. reading: pages of 1,000.
    """

    recording: float
    added: float
    numbering: float
    reading: float


def measure(url: str, manifest: Manifest) -> EventCosts:
    """Record made-up batches into this database, which is migrated first."""
    engine = make_engine(url)
    migrate.upgrade(engine)
    with sessions(engine).begin() as session:
        record_model(session, manifest, datetime.now(UTC))
    pairs = [
        (_recorded(engine, manifest, f"a{turn}", events=False),
         _recorded(engine, manifest, f"b{turn}", events=True))
        for turn in range(TURNS)
    ][TURNS // 8 :]  # fmt: skip
    numbering = _spent(engine, _number)
    read_s = _spent(engine, _read)
    engine.dispose()
    each = 1000 / BATCH
    return EventCosts(
        recording=each * statistics.fmean(without for without, _ in pairs),
        added=each * statistics.fmean(with_ - without for without, with_ in pairs),
        numbering=1000 * numbering / (BATCH * TURNS),
        reading=1000 * read_s / (BATCH * TURNS),
    )


def render(database: str, costs: EventCosts) -> str:
    """A line for people."""
    return (
        f"{database:<11} recording {costs.recording:.3f} ms of CPU an image, events add "
        f"{costs.added:.3f}; beside it numbering {costs.numbering:.3f}, "
        f"a reader {costs.reading:.3f}"
    )


def _recorded(engine: Engine, manifest: Manifest, name: str, *, events: bool) -> float:
    outcomes = list(_outcomes(manifest, name))

    def work(session: Session) -> None:
        now = datetime.now(UTC)
        deliveries = [
            Delivery(job=each.job, message_id=f"{each.subject}-message")
            for each in outcomes
            if each.job
        ]
        begun = begin(session, deliveries, now, owner="bench:1", attempt_s_max=90.0, alone=True)
        record_outcomes(session, outcomes, now, attempts=begun.attempts)

    with ExitStack() as stack:
        if not events:
            for part, stand_in in _WITHOUT.items():
                stack.enter_context(patch.object(recording, part, stand_in))
        return _spent(engine, work)


def _spent(engine: Engine, work: Callable[[Session], object]) -> float:
    """Seconds of CPU, in this process and in the server's process at the other end."""
    with sessions(engine)() as session:
        backend = _backend(session)
        started = time.process_time() + _cpu_s(backend)
        work(session)
        session.commit()
        return time.process_time() + _cpu_s(backend) - started


def _number(session: Session) -> None:
    while number_new(session):
        session.commit()


def _read(session: Session) -> None:
    after = 0
    while (page := read(session, after)).events:
        after = page.after


def _former_lock(session: Session, product_ids: Sequence[str]) -> dict[str, Any]:
    """Taking the locks as it was done before events needed to know what is in force."""
    if session.get_bind().dialect.name == "postgresql":
        ordered = select(Product.id).where(Product.id.in_(product_ids)).order_by(Product.id)
        session.execute(ordered.with_for_update(key_share=True))
    return {}


_WITHOUT: dict[str, Callable[..., object]] = {
    "lock": _former_lock,
    "of_outcomes": lambda *_: [],
    "write": lambda *_: None,
}


def _backend(session: Session) -> int | None:
    if session.get_bind().dialect.name != "postgresql":
        return None
    return int(session.scalars(text("SELECT pg_backend_pid()")).one())


def _cpu_s(process_id: int | None) -> float:
    """User and system time of another process of this machine."""
    if process_id is None:
        return 0.0
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _outcomes(manifest: Manifest, name: str) -> Iterator[Outcome]:
    count = len(manifest.labels)
    for number in range(BATCH):
        product_id = f"{name}-{number}"
        yield Outcome(
            subject=product_id,
            job=Job(product_id=product_id, image_uri=f"file:///photos/{number:06d}.jpg"),
            result=Tagging(
                label=manifest.labels[number % count],
                confidence=0.987654,
                confidences=(1 / count,) * count,
                runner_up=manifest.labels[(number + 1) % count],
                runner_up_confidence=0.01,
                out_of_taxonomy_score=-3.5,
                model_version=manifest.model_version,
                network=NetworkName.REDUCED,
                image_sha256=f"{number:064d}",
                reasons=(),
                overlay_jpeg=b"\xff" * 4000,
                class_map=b"\0" * (2 * 49 * count),
                class_map_height=7,
                class_map_width=7,
                embedding=b"\0" * 256,
            ),
        )
