from datetime import UTC, datetime

import numpy as np
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from catalog.acceptance import NEVER
from catalog.networks import NetworkName
from catalog.outcomes import FlagReason, Outcome
from catalog.photo_trust import Evidence, Verdict
from catalog.status import ProductStatus
from catalog.taxonomy.reserved import BAD_IMAGE, NOT_IN_TAXONOMY
from db.ledger.models import Product
from db.ledger.recording import record_model
from db.registry.photo_trust import earned, put_in_force, stream
from tests.factories import manifest, record, tagged
from tests.taxonomies import LABELS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BAG = LABELS.index("bag")


def photo(
    name: str, *reasons: FlagReason, confidence: float = 0.91, temperature: float | None = 1.0
) -> Outcome:
    rest = (1 - confidence) / 9
    confidences = tuple(confidence if place == BAG else rest for place in range(10))
    return tagged(
        name,
        confidence=confidence,
        confidences=confidences,
        reasons=reasons,
        photo_temperature=temperature,
        image_sha256=f"{name:0>64}",
    )


def review(session: Session, name: str, label: str) -> None:
    session.execute(
        update(Product)
        .where(Product.id == name)
        .values(status=ProductStatus.REVIEWED, reviewed_label=label)
    )


@pytest.fixture(autouse=True)
def _model(session: Session) -> None:
    record_model(session, manifest(), NOW)


def test_photos_are_told_apart_by_how_they_came_before_a_person(session: Session) -> None:
    low, audit = FlagReason.LOW_CONFIDENCE, FlagReason.AUDIT_SAMPLE
    record(
        session,
        [
            photo("flagged", low, confidence=0.6),
            photo("accepted"),
            photo("audited", audit),
            photo("strange", low, FlagReason.OUT_OF_TAXONOMY),
            photo("spoiled", low),
            photo("reduced", low, temperature=None),
        ],
        NOW,
    )
    for name, label in (
        ("flagged", "bag"),
        ("audited", NOT_IN_TAXONOMY),
        ("strange", "coat"),
        ("spoiled", BAD_IMAGE),
        ("reduced", "bag"),
    ):
        review(session, name, label)
    found = stream(session, "test-1", LABELS, 1.0, network=NetworkName.REDUCED)
    assert len(found) == 4  # neither the reduced picture nor the one that nothing can be said of
    bags = found.of_class(BAG)
    assert bags.confidence.round(2).tolist() == [0.6, 0.91, 0.91]
    assert bags.accepted.tolist() == [False, True, True]
    assert bags.asked.tolist() == [True, False, True]
    assert bags.reviewed.tolist() == [True, False, True]
    assert bags.right.tolist() == [True, False, False]
    # Of two accepted ones one was looked at, and stands for both.
    assert found.weights.tolist() == [1.0, 0.0, 2.0, 1.0]


def test_confidences_are_brought_to_one_temperature(session: Session) -> None:
    record(session, [photo("a"), photo("b", temperature=2.0)], NOW)
    confidence = stream(
        session, "test-1", LABELS, 2.0, network=NetworkName.REDUCED
    ).confidences.max(axis=1)
    assert confidence[1] == pytest.approx(0.91, abs=1e-5)
    softened = np.sqrt(0.91) / (np.sqrt(0.91) + 9 * np.sqrt(0.01))
    assert confidence[0] == pytest.approx(softened, abs=1e-5)


def verdict(label: str, confidence_min: float | None) -> Verdict:
    known = Evidence(confidence_min=0.9, parts=(), error_at_most=0.02, error_at_least=0.0)
    return Verdict(label=label, confidence_min=confidence_min, evidence=known, more_right=None)


def test_what_is_put_in_force_replaces_what_was(session: Session) -> None:
    first = [verdict("bag", 0.9), verdict("coat", NEVER), verdict("shirt", None)]
    put_in_force(session, "test-1", first, temperature=1.5, level=0.95, now=NOW)
    found = earned(session)["test-1"]
    assert found.temperature == 1.5
    assert found.confidence_min == {"bag": 0.9, "coat": NEVER}
    assert found.trusted == {"bag"}
    later = [verdict("bag", None), verdict("shirt", 0.8)]
    put_in_force(session, "test-1", later, temperature=1.6, level=0.95, now=NOW)
    found = earned(session)["test-1"]
    assert found.confidence_min == {"shirt": 0.8}


def test_other_models_have_earned_nothing(session: Session) -> None:
    put_in_force(session, "test-1", [verdict("bag", 0.9)], temperature=1, level=0.95, now=NOW)
    assert set(earned(session)) == {"test-1"}
    assert len(stream(session, "test-2", LABELS, 1.0, network=NetworkName.REDUCED)) == 0
