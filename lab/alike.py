"""How pure the desk's groups of look-alikes are, on photos whose labels are known."""

import json
import statistics
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine, select

from catalog.jobs import file_job
from catalog.outcomes import FlagReason
from catalog.settings import read_settings
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from db import migrate
from db.engine import make_engine, sessions
from db.review import reviewers
from db.review.leases import claim_alike
from db.review.models import ReviewItem, Role
from lab.serving import BATCH, tag_directly
from trainer.fashion_mnist.dataset import DatasetError
from trainer.photo_evaluation import Photo, read_photos
from trainer.tables import percent
from worker.tagging.process import make_batch_runner

GROUP = 24  # as many as the page shows


@dataclass(frozen=True, kw_only=True)
class Group:
    """size: of a group as the desk hands it out; purity: the share of its commonest true label.

    strangers: whether that is no category; offered_as_such: whether most of the group is flagged as
    strange, so that the page offers "not in the taxonomy" first.
    """

    size: int
    purity: float
    strangers: bool
    offered_as_such: bool


@dataclass(frozen=True, kw_only=True)
class AlikeFigures:
    """photos: how many waited for a person; groups: all that the desk made of them."""

    set: str
    photos: int
    groups: tuple[Group, ...]

    @property
    def keys(self) -> float:
        """What a person presses for each photo.

        One key for a group; for each photo that shows something else one to take it out, and one
        more when it is shown alone.
        """
        out = sum(each.size - round(each.purity * each.size) for each in self.groups)
        return (len(self.groups) + 2 * out) / max(1, self.photos)

    @property
    def shared(self) -> list[Group]:
        """Those of two photos or more."""
        return [each for each in self.groups if each.size > 1]

    def as_json(self) -> str:
        """One object."""
        return json.dumps({**asdict(self), "keys_per_photo": self.keys})


def measure_alike(manifest: Path, set_name: str) -> AlikeFigures:
    """Tag a set's photos by the bundle that serves, and take the queue group by group.

    Raises:
        DatasetError: the manifest has no photo of that set.
    """
    photos = [each for each in read_photos(manifest) if each.set == set_name]
    if not photos:
        raise DatasetError(f"Expected photos of the set {set_name!r} in {manifest}, found none.")
    with tempfile.TemporaryDirectory(prefix="tagger-alike-") as name:
        chosen = read_settings(
            home=Path(name),
            allowed_roots=(manifest.parent.resolve(),),
            database_url=None,
            redis_url=None,
        )
        engine = make_engine(chosen.database)
        migrate.upgrade(engine)
        jobs = [file_job(each.path, str(place)) for place, each in enumerate(photos)]
        runner = make_batch_runner(chosen)
        for start in range(0, len(jobs), BATCH):
            tag_directly(runner, jobs[start : start + BATCH])
        groups = _groups(engine, photos)
        engine.dispose()
    return AlikeFigures(
        set=set_name, photos=sum(each.size for each in groups), groups=tuple(groups)
    )


def _groups(engine: Engine, photos: Sequence[Photo]) -> list[Group]:
    """All groups that the desk hands out, one after the other."""
    found: list[Group] = []
    taken: list[int] = []
    with sessions(engine).begin() as session:
        now = datetime.now(UTC)
        person = reviewers.add(session, "Bench", Role.REVIEWER, now)
        while mine := claim_alike(session, person, now, limit=GROUP, keep=taken):
            rows = session.execute(
                select(ReviewItem.product_id, ReviewItem.reasons).where(
                    ReviewItem.tagging_id.in_(mine)
                )
            ).all()
            found.append(_group({row.product_id: row.reasons for row in rows}, photos))
            taken += mine
    return found


def _group(reasons: Mapping[str, str], photos: Sequence[Photo]) -> Group:
    labels = Counter(photos[int(product)].label for product in reasons)
    ((commonest, count),) = labels.most_common(1)
    strange = sum(f" {FlagReason.OUT_OF_TAXONOMY} " in each for each in reasons.values())
    return Group(
        size=len(reasons),
        purity=count / len(reasons),
        strangers=commonest == NOT_IN_TAXONOMY,
        offered_as_such=2 * strange > len(reasons),
    )


def render_alike(figures: AlikeFigures) -> str:
    """The figures for people."""
    shared = figures.shared
    lines = [
        f"{figures.photos} photos of {figures.set} wait in {len(figures.groups)} groups; "
        f"{figures.keys:.2f} keys a photo"
    ]
    if shared:
        whole = [each for each in shared if each.size == GROUP]
        usual = statistics.median(each.size for each in shared)
        lines += [
            f"  {len(shared)} groups of two and more hold "
            f"{sum(each.size for each in shared)} photos, {usual:.0f} at the median",
            f"  purity at the median {percent(statistics.median(each.purity for each in shared))}",
            f"  {len(whole)} groups of {GROUP}"
            + (
                f", purity at the median {percent(statistics.median(x.purity for x in whole))}"
                if whole
                else ""
            ),
        ]
        strangers = [each for each in shared if each.strangers]
        offered = sum(each.offered_as_such for each in strangers)
        lines.append(f"  {offered} of {len(strangers)} groups of strangers are offered as such")
    return "\n".join(lines)
