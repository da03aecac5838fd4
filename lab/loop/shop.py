"""A shop that knows what its photos show, and reviews them at the desk by that."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from catalog.errors import OperatorError
from catalog.jobs import Job, file_job
from catalog.outcomes import FlagReason
from catalog.settings import Settings, environment
from catalog.taxonomy.reserved import NOT_IN_TAXONOMY
from db.engine import reading, sessions
from db.ledger.models import Product, Tagging
from db.ledger.results import unfinished
from db.review import reviewers
from db.review.decisions import Decision, decide
from db.review.leases import claim
from db.review.models import Action, Channel, Reviewer, ReviewItem, Role
from trainer.photo_evaluation import Photo
from worker.client import EnqueueClient
from worker.serving import serving_version

HAND = 10  # items that a person holds at once, as the desk gives them
POLL_S = 0.2
TAG_S_MAX = 900.0
TAGGER = (sys.executable, "-c", "from catalog.cli import main; main()")


class LoopError(OperatorError):
    """A step of the loop that did not do what it is for."""


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """What the machine made of products that have just come, before anybody looked."""

    photos: int
    flagged: int
    audited: int
    accepted: int
    wrong: int

    def __add__(self, other: "Arrived") -> "Arrived":
        return Arrived(
            photos=self.photos + other.photos,
            flagged=self.flagged + other.flagged,
            audited=self.audited + other.audited,
            accepted=self.accepted + other.accepted,
            wrong=self.wrong + other.wrong,
        )


class Shop:
    """A running system with photos whose labels are known."""

    def __init__(self, engine: Engine, chosen: Settings, photos: Sequence[Photo]) -> None:
        self._engine, self._settings = engine, chosen
        self._jobs = {f"photo-{place:05d}": each for place, each in enumerate(photos)}
        self.reviews = 0
        self._arrived: list[str] = []
        with sessions(engine).begin() as session:
            self._reviewer = reviewers.add(session, "Bench", Role.REVIEWER, datetime.now(UTC)).id

    @property
    def truth(self) -> Mapping[str, str]:
        """What each product shows."""
        return {key: each.label for key, each in self._jobs.items()}

    def arrive(self, products: Sequence[str]) -> Arrived:
        """Send these products, wait until each has its outcome, and look at these."""
        self._arrived += products
        client = EnqueueClient(self._engine, broker_url=self._settings.redis_url)
        client.enqueue_many([self._job(each) for each in products])
        self.wait(products)
        return self._look(products)

    def wait(self, products: Sequence[str] | None = None) -> None:
        """Wait until nothing of these products, or of all that arrived, is under way.

        Raises:
            LoopError: that takes too long.
        """
        wanted = self._arrived if products is None else list(products)
        deadline = time.monotonic() + TAG_S_MAX
        while True:
            with reading(self._engine)() as session:
                left = unfinished(session, wanted)
            if not left:
                return
            if time.monotonic() > deadline:
                raise LoopError(
                    f"Expected {len(wanted)} photos to be tagged within {TAG_S_MAX:.0f} s, found "
                    f"{left} left. The workers' logs are in {self._settings.home / 'logs'}."
                )
            time.sleep(POLL_S)

    def review(self) -> int:
        """Decide all that waits for a person, in the desk's own order; how many there were."""
        done = 0
        while hand := self._claim(HAND):
            for tagging_id in hand:
                self._decide(tagging_id)
            done += len(hand)
        self.reviews += done
        return done

    def _look(self, products: Sequence[str]) -> Arrived:
        with reading(self._engine)() as session:
            rows = session.execute(
                select(Product.id, Tagging.label, Tagging.reasons)
                .join(Tagging, Tagging.id == Product.current_tagging_id)
                .where(Product.id.in_(products))
            ).all()
        audit = [FlagReason.AUDIT_SAMPLE.value]
        audited = [row for row in rows if list(row.reasons) == audit]
        accepted = [row for row in rows if not row.reasons] + audited
        truth = self.truth
        return Arrived(
            photos=len(products),
            flagged=len(products) - len(accepted),
            audited=len(audited),
            accepted=len(accepted),
            wrong=sum(row.label != truth[row.id] for row in accepted),
        )

    def command(self, *arguments: str) -> str:
        """Run `tagger` as a person would, beside the running system; its standard output.

        Raises:
            LoopError: it failed; the message holds what it said.
        """
        variables = os.environ | environment(self._settings)
        done = subprocess.run(
            [*TAGGER, *arguments], env=variables, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LoopError(
                f"Expected `tagger {' '.join(arguments)}` to succeed, found: "
                f"{done.stderr.strip()[-600:]}"
            )
        return done.stdout

    def serving(self) -> str:
        """The version that serves."""
        with reading(self._engine)() as session:
            return serving_version(session, self._settings)

    def _claim(self, count: int) -> list[int]:
        with sessions(self._engine).begin() as session:
            return claim(session, self._person(session), datetime.now(UTC), limit=count)

    def _decide(self, tagging_id: int) -> None:
        with sessions(self._engine).begin() as session:
            item = session.scalars(
                select(ReviewItem).where(ReviewItem.tagging_id == tagging_id)
            ).one()
            decision = self._decision(item)
            decide(session, self._person(session), decision, datetime.now(UTC))

    def _decision(self, item: ReviewItem) -> Decision:
        truth, label = self.truth[item.product_id], None
        if truth == NOT_IN_TAXONOMY:
            action = Action.NOT_IN_TAXONOMY
        elif truth == item.label:
            action = Action.ACCEPT
        else:
            action, label = Action.CORRECT, truth
        return Decision(
            tagging_id=item.tagging_id,
            version=item.version,
            action=action,
            key=uuid4().hex,
            channel=Channel.API,
            label=label,
        )

    def _person(self, session: Session) -> Reviewer:
        found = session.get(Reviewer, self._reviewer)
        assert found is not None
        return found

    def _job(self, product_id: str) -> Job:
        return file_job(Path(self._jobs[product_id].path), product_id)
