"""What people said of photos, as evidence for trust; and what that has earned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from catalog.acceptance import NEVER, Earned
from catalog.networks import NetworkName
from catalog.outcomes import FlagReason
from catalog.photo_trust import Photos, Verdict
from catalog.statistics import at_temperature
from catalog.status import ProductStatus
from catalog.taxonomy.reserved import BAD_IMAGE
from db.ledger.models import Product, Tagging
from db.registry.photo_trust_models import EarnedTrust
from db.taxonomies.moves import moves_of_models, now_called

# The newest ones; enough for any bound, and read in seconds.
PHOTOS_MAX = 200_000


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Photos of one model version, oldest first, as people and the machine saw them.

    confidences: float64 (N, classes) at `temperature`; truth: int64 (N,), what a person said, -1
    for what is in no class or was not reviewed; reviewed, accepted, asked, comparable: bool (N,).
    comparable: flagged for nothing but confidence, if at all.
    """

    temperature: float
    confidences: NDArray[np.float64]
    truth: NDArray[np.int64]
    reviewed: NDArray[np.bool_]
    accepted: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    comparable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def weights(self) -> NDArray[np.float64]:
        """How many photos each one stands for, of its kind: 0 where it was not reviewed."""
        weights = np.zeros(len(self))
        for kind in (self.accepted, ~self.accepted):
            known = kind & self.reviewed
            if known.any():
                weights[known] = kind.sum() / known.sum()
        return weights

    def at(self, temperature: float) -> "Stream":
        """The same photos with confidences of another temperature."""
        changed = at_temperature(self.confidences, self.temperature, temperature)
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Stream(
            **fields | {"temperature": temperature, "confidences": changed.astype(np.float64)}
        )

    def of_class(self, place: int) -> Photos:
        """Those that the machine gave one label, as evidence for or against it."""
        predicted = self.confidences.argmax(axis=1)
        everything = Photos(
            confidence=self.confidences.max(axis=1),
            accepted=self.accepted,
            asked=self.asked,
            reviewed=self.reviewed,
            right=self.reviewed & (self.truth == predicted),
        )
        return everything.take(self.comparable & (predicted == place))


def stream(
    session: Session,
    model_version: str,
    labels: Sequence[str],
    temperature: float,
    *,
    network: NetworkName,
) -> Stream:
    """The photos whose current tagging is this network's of this model.

    Bad images say nothing and are left out.
    """
    rows = session.execute(
        select(
            Tagging.confidences,
            Tagging.photo_temperature,
            Tagging.reasons,
            Product.status,
            Product.reviewed_label,
        )
        .join(Product, Product.current_tagging_id == Tagging.id)
        .where(
            Tagging.model_version == model_version,
            Tagging.network == network.value,
            Tagging.photo_temperature.is_not(None),
        )
        .order_by(Tagging.id.desc())
        .limit(PHOTOS_MAX)
    ).all()[::-1]
    rows = [row for row in rows if row.reviewed_label != BAD_IMAGE]
    reviewed = np.array(
        [row.status == ProductStatus.REVIEWED and row.reviewed_label is not None for row in rows],
        bool,
    )
    moved = moves_of_models(session, [model_version]).get(model_version, {})
    now = [now_called(moved, label) for label in labels]
    truth = [
        _truth(now, row.reviewed_label, row.confidences) if done else -1
        for row, done in zip(rows, reviewed, strict=True)
    ]
    reasons = [set(row.reasons) for row in rows]
    audited, unsure = {FlagReason.AUDIT_SAMPLE.value}, {FlagReason.LOW_CONFIDENCE.value}
    confidences = [
        at_temperature(np.array(row.confidences), row.photo_temperature, temperature)
        for row in rows
    ]
    return Stream(
        temperature=temperature,
        confidences=np.array(confidences, np.float64).reshape(-1, len(labels)),
        truth=np.array(truth, np.int64),
        reviewed=reviewed,
        accepted=np.array([each <= audited for each in reasons], bool),
        asked=np.array([bool(each) for each in reasons], bool),
        comparable=np.array([each <= audited or each == unsure for each in reasons], bool),
    )


def _truth(now: Sequence[str | None], said: str, confidences: Sequence[float]) -> int:
    """The place of the label that a person gave, -1 for none of the model's.

    now: the model's labels as they are called now. Of several that were merged into one since,
    that which the model gave is right.
    """
    predicted = int(np.argmax(confidences))
    if now[predicted] == said:
        return predicted
    return now.index(said) if said in now else -1


def earned(session: Session) -> dict[str, Earned]:
    """What is in force, by model version; a version without an entry is under its cautious rule."""
    found: dict[str, Earned] = {}
    for row in session.scalars(select(EarnedTrust).order_by(EarnedTrust.label)):
        before = found.get(row.model_version, Earned(temperature=row.temperature))
        decided = {} if row.confidence_min is None else {row.label: row.confidence_min}
        trusted = row.confidence_min is not None and row.confidence_min < NEVER
        found[row.model_version] = Earned(
            temperature=row.temperature,
            confidence_min={**before.confidence_min, **decided},
            trusted=before.trusted | ({row.label} if trusted else frozenset()),
        )
    return found


def decisions(session: Session, model_version: str) -> Mapping[str, EarnedTrust]:
    """The rows in force for one model version, by label."""
    rows = session.scalars(select(EarnedTrust).where(EarnedTrust.model_version == model_version))
    return {row.label: row for row in rows}


def put_in_force(
    session: Session,
    model_version: str,
    verdicts: Sequence[Verdict],
    *,
    temperature: float,
    level: float,
    now: datetime,
) -> None:
    """Replace what was in force for this model version; workers see it at their heartbeat."""
    session.execute(delete(EarnedTrust).where(EarnedTrust.model_version == model_version))
    session.add_all(
        EarnedTrust(
            model_version=model_version,
            label=each.label,
            confidence_min=each.confidence_min,
            temperature=temperature,
            reviewed=each.evidence.reviewed,
            right=each.evidence.right,
            error_at_most=each.evidence.error_at_most,
            level=level,
            decided_at=now,
        )
        for each in verdicts
    )
    session.flush()
