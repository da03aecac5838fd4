"""What travels through the JSON API."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
)

from catalog.outcomes import FlagReason
from db.review.filters import Order, QueueFilter
from db.review.models import Action, Channel, Role, WaitsFor

PAGE_MAX = 200
CLAIM_MAX = 48
BULK_MAX = 100
ID_MAX = 2**63 - 1

ItemId = Annotated[int, Field(ge=1, le=ID_MAX)]
# In a body a number is a number: `"3"` is refused. In a query everything is text.
StrictItemId = Annotated[int, Field(ge=1, le=ID_MAX, strict=True)]
StrictShare = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,48}$")]
# The database's own text: no control characters, which PostgreSQL would refuse.
ShortText = Annotated[
    str, StringConstraints(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")
]
ProductId = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Decided = Literal[
    Action.ACCEPT, Action.CORRECT, Action.NOT_IN_TAXONOMY, Action.BAD_IMAGE, Action.SKIP
]


def _sane(value: datetime) -> datetime:
    if not 1970 < value.year < 2200:
        raise ValueError("expected a year from 1971 to 2199")
    return value.astimezone(UTC)


def _text(value: object) -> object:
    if not isinstance(value, str | datetime):
        raise ValueError("expected text such as 2026-05-01T12:00:00Z")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_sane)]


class Body(BaseModel):
    """A request's body: what it does not know it refuses."""

    model_config = ConfigDict(extra="forbid")


class Filter(Body):
    """What items must be like; the upper bounds are exclusive.

    label: a category of the taxonomy in force, or a parent of several, by id, name or alias.
    """

    reason: FlagReason | None = None
    label: ShortText | None = None
    confidence_min: Share | None = None
    confidence_max: Share | None = None
    model_version: ShortText | None = None
    declared_label: ShortText | None = None
    tagged_from: Instant | None = None
    tagged_until: Instant | None = None
    product_id: ProductId | None = None

    def wanted(self) -> QueueFilter:
        """The same for the queries."""
        return QueueFilter(**self.model_dump(include=set(Filter.model_fields)))


class BodyFilter(Filter):
    """The same in a body."""

    confidence_min: StrictShare | None = None
    confidence_max: StrictShare | None = None


class PageQuery(Filter):
    """One page of the queue."""

    order: Order = Order.LEAST_CONFIDENT
    waits_for: WaitsFor = WaitsFor.REVIEWER
    cursor: Annotated[str, StringConstraints(max_length=400)] | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 50


class AuditQuery(Body):
    """A page of the audit; `before` is the `next_before` of the page before."""

    before: ItemId | None = None
    limit: Annotated[int, Field(ge=1, le=PAGE_MAX)] = 50


class ClaimBody(Body):
    """Take items; with `alike`, the next one and those that look like it.

    keep: what you hold and work on elsewhere; it is neither given back nor handed out again.
    """

    filter: BodyFilter = Field(default_factory=BodyFilter)
    order: Order = Order.LEAST_CONFIDENT
    limit: Annotated[int, Field(ge=1, le=CLAIM_MAX, strict=True)] = 10
    alike: StrictBool = False
    keep: Annotated[list[StrictItemId], Field(max_length=PAGE_MAX)] = Field(default_factory=list)


class ItemsBody(Body):
    """Some items."""

    items: Annotated[list[StrictItemId], Field(max_length=PAGE_MAX)]


class DecisionBody(Body):
    """What a person says; `label` belongs to `correct`. The key makes sending again harmless."""

    action: Decided
    key: Key
    label: ShortText | None = None
    seconds: Seconds | None = None
    channel: Literal[Channel.PAGE, Channel.GRID, Channel.API] = Channel.API


class BulkDecision(Body):
    """One of many."""

    item: StrictItemId
    etag: Annotated[str, StringConstraints(max_length=64)]
    action: Decided
    label: ShortText | None = None


class BulkBody(Body):
    """Up to 100 decisions of one keystroke, each recorded or refused by itself."""

    decisions: Annotated[list[BulkDecision], Field(min_length=1, max_length=BULK_MAX)]
    key: Key
    seconds: Seconds | None = None
    channel: Literal[Channel.PAGE, Channel.GRID, Channel.API] = Channel.API


class UndoBody(Body):
    """Take back the last step; the key makes sending again harmless."""

    key: Key


class LabelConfidence(BaseModel):
    """One bar."""

    label: str
    confidence: float


class SimilarItem(BaseModel):
    """A reviewed item that looks like this one."""

    item: int
    label: str
    similarity: float
    thumbnail_url: str


class ReviewRecord(BaseModel):
    """One row of the audit."""

    id: int
    item: int
    product_id: str
    reviewer: str
    action: Action
    label: str | None
    machine_label: str
    machine_confidence: float
    model_version: str
    image_sha256: str
    round: int
    channel: str
    seconds: float | None
    decided_at: datetime
    undoes: int | None


class Item(BaseModel):
    """One item of the queue with all a person needs to decide.

    label: the machine's, as the taxonomy of this title calls it now, of which people may give any
    category. heat_url: a category's id is added to it.
    """

    item: int
    etag: str
    product_id: str
    status: str
    waits_for: WaitsFor
    round: int
    label: str
    label_name: str
    taxonomy: str
    confidence: float
    confidences: list[LabelConfidence]
    out_of_taxonomy_score: float
    model_version: str
    network: str = Field(description="Which network of the model judged: photo or reduced.")
    judged_by: str = Field(description="The model and its network, as people read them.")
    declared_label: str | None
    certain_at: str | None = Field(
        description="The label or a parent of it that is right with the promised precision."
    )
    reasons: list[str]
    why: str
    reviewed_label: str | None
    tagged_at: datetime
    leased_by: str | None
    leased_until: datetime | None
    photo_url: str
    heat_url: str
    thumbnail_url: str
    similar: list[SimilarItem]
    reviews: list[ReviewRecord]


class ItemPage(BaseModel):
    """A page; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


class Claim(BaseModel):
    """What the person holds now, in order, and how much is waiting in all."""

    items: list[Item]
    waiting: int


class Held(BaseModel):
    """What is still held."""

    held: list[int]


class Decision(BaseModel):
    """What was recorded."""

    review: ReviewRecord
    etag: str


class BulkResult(BaseModel):
    """What became of one of many; `detail` says why it was refused."""

    item: int
    status: int
    detail: str | None
    review: ReviewRecord | None


class BulkResults(BaseModel):
    """In the order of the request."""

    results: list[BulkResult]


class Undone(BaseModel):
    """The items that are open again, leased to whoever took the step back."""

    items: list[Item]


class QueueCounts(BaseModel):
    """How much waits; reasons may overlap."""

    open: int
    second: int
    disputes: int
    leased: int
    oldest_at: datetime | None
    by_reason: dict[str, int]
    by_label: dict[str, int]
    by_model: dict[str, int]


class AuditPage(BaseModel):
    """Newest first; `next_before` leads to the next page."""

    reviews: list[ReviewRecord]
    next_before: int | None


class Me(BaseModel):
    """Who is signed in."""

    name: str
    role: Role
    labels: list[str]
