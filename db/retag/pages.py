"""Walking the ledger in pages, in the order of product ids.

A page looks at a bounded number of products whatever the selection: the first page of a run costs
as much as the last, and a selection needs no index of its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from catalog.jobs import Job
from db.ledger import transitions
from db.ledger.models import Product, Tagging
from db.ledger.reconciling import CLOCK_SLACK
from db.retag import runs as retag_runs
from db.retag.message_ids import new_message_id
from db.retag.models import LEASE, RetagChunk, RetagRun, RunState

PAGE_SIZE = 5000


class LostRunError(Exception):
    """The run was paused, cancelled or taken by another publisher: nothing was published."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What comes after a cursor: the ids that are wanted, and the last id that was looked at."""

    product_ids: Sequence[str]
    cursor: str
    looked: int
    last: bool  # nothing comes after it


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Jobs that were accepted, to be published as one message under this id."""

    jobs: Sequence[Job]
    message_id: str


def next_page(session: Session, cursor: str, wanted: ColumnElement[bool], *, limit: int) -> Page:
    """Look at the next PAGE_SIZE products at most, and find the first `limit` that are wanted."""
    after = Product.id > cursor
    ids = select(Product.id).where(after).order_by(Product.id)
    end = session.scalar(ids.offset(PAGE_SIZE - 1).limit(1))
    last = end is None
    if end is None:
        end = session.scalar(select(func.max(Product.id)).where(after))
    if end is None:
        return Page(product_ids=(), cursor=cursor, looked=0, last=True)
    found = session.scalars(ids.where(Product.id <= end, wanted).limit(limit)).all()
    if len(found) == limit:
        end, last = found[-1], last and found[-1] == end
    range_ = select(func.count()).select_from(Product).where(after, Product.id <= end)
    return Page(product_ids=found, cursor=end, looked=session.scalar(range_) or 0, last=last)


def lease(session: Session, run_id: int, publisher: str, now: datetime) -> RetagRun | None:
    """Take or renew the right to publish a run; None where another publisher has it.

    A planned run begins with this. The run's row is locked, so that of two publishers that see the
    same lease end one gets the next and the other is told so. A publisher that was held up past its
    lease (a long pause of its process) may go on believing in it for a moment: its next take() asks
    here again, in the transaction that accepts the products, finds another's name or a moved
    cursor, and publishes nothing.
    """
    run = retag_runs.find(session, run_id, lock=True)
    if run.state not in (RunState.PLANNED, RunState.RUNNING) or _taken(run, publisher, now):
        return None
    run.state, run.started_at = RunState.RUNNING, run.started_at or now
    run.leased_by, run.leased_until = publisher, now + LEASE
    return run


def _taken(run: RetagRun, publisher: str, now: datetime) -> bool:
    if run.leased_by in (None, publisher) or run.leased_until is None:
        return False
    # A lease that ends too far ahead was written by a clock that has been set back since.
    return now < run.leased_until <= now + LEASE + CLOCK_SLACK


def let_go(session: Session, run_id: int, publisher: str) -> None:
    """Give the lease back."""
    run = retag_runs.find(session, run_id, lock=True)
    if run.leased_by == publisher:
        run.leased_by = run.leased_until = None


def take(
    session: Session,
    run_id: int,
    publisher: str,
    since: str,
    page: Page,
    wanted: ColumnElement[bool],
    now: datetime,
) -> Taken:
    """Accept a page's products and move the cursor from `since`, to be committed together.

    The products are chosen again while they are locked: what was accepted by somebody else since
    the page was read is left to them.

    Raises:
        LostRunError: the run is not this publisher's any more.
    """
    run = lease(session, run_id, publisher, now)
    if run is None or run.cursor != since:
        raise LostRunError
    message_id = new_message_id(run_id)
    rows = transitions.accept_again(session, page.product_ids, wanted, message_id, now)
    run.cursor, run.looked = page.cursor, run.looked + page.looked
    if rows:
        run.published += len(rows)
        labels = _labels(session, [row.current_tagging_id for row in rows])
        run.labels_before = dict(Counter(run.labels_before) + labels)
        session.add(_chunk(run_id, message_id, len(rows)))
    jobs = [
        Job.model_construct(product_id=id_, image_uri=uri, declared_label=label)
        for id_, uri, label, _ in sorted(rows, key=lambda row: row.id)
    ]
    return Taken(jobs=jobs, message_id=message_id)


def _chunk(run_id: int, message_id: str, size: int) -> RetagChunk:
    none = dict.fromkeys(("kept", "changed", "skipped", "failed"), 0)
    return RetagChunk(message_id=message_id, run_id=run_id, size=size, **none)


def _labels(session: Session, tagging_ids: Sequence[int | None]) -> Counter[str]:
    found = select(Tagging.label, func.count()).where(Tagging.id.in_(set(tagging_ids) - {None}))
    return Counter(dict(session.execute(found.group_by(Tagging.label)).all()))
