"""The JSON API: everything the page can do, for programs."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from sqlalchemy.orm import Session

from db.ledger.taxonomies import taxonomy_in_force
from db.review import decisions as review_decisions
from db.review import leases as review_leases
from db.review import listing as review_listing
from db.review.errors import ReviewError, UnknownItemError
from db.review.models import Review, Reviewer, ReviewItem
from review import schemas
from review.access import Lead, Principal, Signed, limited
from review.desk import desk_of
from review.items import item_of, record_of, show
from review.problems import STATUS_OF, ProblemError, responses

ETAG = re.compile(r'"([1-9][0-9]{0,18})\.([0-9]{1,9})"')

router = APIRouter(
    prefix="/api/v1",
    tags=["review"],
    dependencies=[Depends(limited(lambda desk: desk.api_limit))],
    responses=responses(),
)
ItemPath = Annotated[int, Path(ge=1, le=schemas.ID_MAX)]


@router.get("/me")
def me(request: Request, person: Signed) -> schemas.Me:
    """Who is signed in, and the ids of the taxonomy in force, as they are shown."""
    with desk_of(request).read() as session:
        labels = list(taxonomy_in_force(session).ids)
    return schemas.Me(name=person.name, role=person.role, labels=labels)


@router.get("/items")
def list_items(
    request: Request, person: Signed, query: Annotated[schemas.PageQuery, Query()]
) -> schemas.ItemPage:
    """A page of the queue. Nothing is claimed; similar items and the audit are left out."""
    desk = desk_of(request)
    with desk.read() as session:
        page = review_listing.page(
            session,
            desk.now(),
            wanted=query.wanted(),
            order=query.order,
            waits_for=query.waits_for,
            cursor=query.cursor,
            limit=query.limit,
        )
        items = [item_of(entry) for entry in page.entries]
    return schemas.ItemPage(items=items, next_cursor=page.next_cursor)


@router.get("/items/{item}", responses=responses(404))
def get_item(request: Request, person: Signed, item: ItemPath) -> schemas.Item:
    """One item in full. Its audit is shown once it is decided: second opinions are blind."""
    desk = desk_of(request)
    with desk.read() as session:
        found = show(session, desk.similar, person, [item], desk.now())
    if not found:
        raise UnknownItemError(f"Expected an item of the queue, found none with the number {item}.")
    return found[0]


@router.get("/counts")
def get_counts(
    request: Request, person: Signed, query: Annotated[schemas.Filter, Query()]
) -> schemas.QueueCounts:
    """How much waits and fits the filter."""
    desk = desk_of(request)
    with desk.read() as session:
        found = review_listing.counts(session, desk.now(), wanted=query.wanted())
    return schemas.QueueCounts.model_validate(found, from_attributes=True)


@router.post("/claims")
def claim(request: Request, person: Signed, body: schemas.ClaimBody) -> schemas.Claim:
    """Lease items for ten minutes: what is held already and fits counts and is renewed."""
    desk = desk_of(request)
    take = review_leases.claim_alike if body.alike else review_leases.claim
    wanted = body.filter.wanted()
    with desk.write() as session:
        reviewer = _reviewer(session, person)
        held = take(
            session,
            reviewer,
            desk.now(),
            wanted=wanted,
            order=body.order,
            limit=body.limit,
            keep=body.keep,
        )
    with desk.read() as session:
        items = show(session, desk.similar, person, held, desk.now())
        waiting = review_listing.waiting(session, wanted=wanted)
    return schemas.Claim(items=items, waiting=waiting)


@router.post("/items/{item}/claim", responses=responses(404, 409))
def claim_one(request: Request, person: Signed, item: ItemPath) -> schemas.Item:
    """Lease this very item."""
    desk = desk_of(request)
    with desk.write() as session:
        if not review_leases.claim_one(session, _reviewer(session, person), item, desk.now()):
            if not review_listing.entries(session, [item], desk.now()):
                raise UnknownItemError(f"Expected an item of the queue, found no {item}.")
            raise ProblemError(409, "Somebody else holds it, or it is not yours to decide.")
    return get_item(request, person, item)


@router.post("/leases/renew")
def renew(request: Request, person: Signed, body: schemas.ItemsBody) -> schemas.Held:
    """Hold these for ten minutes more. What is missing in the answer is lost."""
    desk = desk_of(request)
    with desk.write() as session:
        held = review_leases.renew(session, _reviewer(session, person), body.items, desk.now())
    return schemas.Held(held=held)


@router.post("/leases/release")
def release(request: Request, person: Signed, body: schemas.ItemsBody) -> schemas.Held:
    """Give back everything but these."""
    desk = desk_of(request)
    with desk.write() as session:
        reviewer = _reviewer(session, person)
        review_leases.release(session, reviewer, keep=body.items)
        held = review_leases.renew(session, reviewer, body.items, desk.now())
    return schemas.Held(held=held)


@router.post("/items/{item}/decision", responses=responses(404, 409, 412, 428))
def decide(
    request: Request,
    person: Signed,
    item: ItemPath,
    body: schemas.DecisionBody,
    if_match: Annotated[str | None, Header(max_length=100)] = None,
) -> schemas.Decision:
    """Record a decision on the item as it was shown: If-Match carries its etag."""
    if if_match is None:
        raise ProblemError(428, "Expected If-Match with the etag of the item as you saw it.")
    decision = review_decisions.Decision(
        tagging_id=item,
        version=_version(if_match, item),
        action=body.action,
        label=body.label,
        key=body.key,
        channel=body.channel,
        seconds=body.seconds,
    )
    with desk_of(request).write() as session:
        review = _decide(request, session, person, decision)
        version = session.get_one(ReviewItem, review.product_id).version
    return schemas.Decision(
        review=record_of(review, person.name), etag=review_decisions.etag(item, version)
    )


@router.post("/decisions/bulk", responses=responses(409))
def decide_bulk(request: Request, person: Signed, body: schemas.BulkBody) -> schemas.BulkResults:
    """Record many decisions as one step: one undo takes all of them back."""
    results = []
    for number, each in enumerate(body.decisions):
        try:
            decision = review_decisions.Decision(
                tagging_id=each.item,
                version=_version(each.etag, each.item),
                action=each.action,
                label=each.label,
                key=f"{body.key}.{number}",
                step=body.key,
                channel=body.channel,
                seconds=None if body.seconds is None else body.seconds / len(body.decisions),
            )
            with desk_of(request).write() as session:
                review = _decide(request, session, person, decision)
        except (ReviewError, ProblemError) as error:
            status = error.status if isinstance(error, ProblemError) else STATUS_OF[type(error)]
            detail = error.detail if isinstance(error, ProblemError) else str(error)
            results.append(
                schemas.BulkResult(item=each.item, status=status, detail=detail, review=None)
            )
        else:
            record = record_of(review, person.name)
            results.append(
                schemas.BulkResult(item=each.item, status=200, detail=None, review=record)
            )
    return schemas.BulkResults(results=results)


@router.post("/undo", responses=responses(404, 409, 412))
def undo(request: Request, person: Signed, body: schemas.UndoBody) -> schemas.Undone:
    """Take back your last step, one of your last ten; its items are leased to you again."""
    desk = desk_of(request)
    with desk.write() as session:
        rows = review_decisions.undo(
            session,
            _reviewer(session, person),
            desk.now(),
            key=body.key,
            second_share=desk.second_share,
        )
        undone = [row.tagging_id for row in rows]
    with desk.read() as session:
        return schemas.Undone(items=show(session, desk.similar, person, undone, desk.now()))


@router.get("/reviews/mine")
def own_audit(
    request: Request, person: Signed, query: Annotated[schemas.AuditQuery, Query()]
) -> schemas.AuditPage:
    """What you have decided, newest first."""
    return _audit(request, query, person.id)


@router.get("/reviews")
def audit(
    request: Request, person: Lead, query: Annotated[schemas.AuditQuery, Query()]
) -> schemas.AuditPage:
    """What everybody has decided, newest first; for leads."""
    return _audit(request, query, None)


def _audit(
    request: Request, query: schemas.AuditQuery, reviewer_id: int | None
) -> schemas.AuditPage:
    with desk_of(request).read() as session:
        rows = review_listing.reviews(
            session, before=query.before, reviewer_id=reviewer_id, limit=query.limit
        )
        records = [record_of(review, name) for review, name in rows]
    more = len(records) == query.limit
    return schemas.AuditPage(reviews=records, next_before=records[-1].id if more else None)


def _decide(
    request: Request, session: Session, person: Principal, decision: review_decisions.Decision
) -> Review:
    desk = desk_of(request)
    return review_decisions.decide(
        session,
        _reviewer(session, person),
        decision,
        desk.now(),
        second_share=desk.second_share,
    )


def _reviewer(session: Session, person: Principal) -> Reviewer:
    return session.get_one(Reviewer, person.id)


def _version(tag: str, item: int) -> int:
    found = ETAG.fullmatch(tag.strip())
    if found is None or int(found[1]) != item:
        raise ProblemError(
            412, f'Expected the etag of item {item}, such as "{item}.3". Look at it anew.'
        )
    return int(found[2])
