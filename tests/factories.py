"""Jobs, outcomes, attempts and manifests for tests, complete but for what a test says."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from catalog.bundle import FORMAT, Manifest
from catalog.failures import FailureCode
from catalog.images.preprocessing import preprocessing_of
from catalog.jobs import Job
from catalog.networks import Acceptance, Network, NetworkName, OutOfTaxonomy
from catalog.outcomes import Failure, FlagReason, Outcome, Tagging
from db.ledger.attempts import Attempt, Delivery, begin
from db.ledger.recording import record_outcomes
from tests.taxonomies import FASHION_MNIST, LABELS


def job(product_id: str = "p1", **fields: Any) -> Job:
    return Job(product_id=product_id, **{"image_uri": f"file:///photos/{product_id}.jpg"} | fields)


def tagging(**fields: Any) -> Tagging:
    defaults: dict[str, Any] = {
        "label": "bag",
        "confidence": 0.91,
        "confidences": (0.01,) * 8 + (0.91, 0.01),
        "runner_up": "shirt",
        "runner_up_confidence": 0.01,
        "out_of_taxonomy_score": -3.5,
        "model_version": "test-1",
        "network": NetworkName.REDUCED,
        "image_sha256": "a" * 64,
        "reasons": (),
        "overlay_jpeg": b"\xff\xd8 overlay",
        "class_map": b"\0" * 980,
        "class_map_height": 7,
        "class_map_width": 7,
        "embedding": b"\0" * 128,
    }
    return Tagging(**defaults | fields)


def tagged(product_id: str = "p1", **fields: Any) -> Outcome:
    return Outcome(subject=product_id, job=job(product_id), result=tagging(**fields))


def flagged(product_id: str = "p1", **fields: Any) -> Outcome:
    return tagged(product_id, **{"reasons": (FlagReason.LOW_CONFIDENCE,)} | fields)


def failed(product_id: str = "p1", code: FailureCode = FailureCode.NOT_FOUND) -> Outcome:
    return Outcome(
        subject=product_id,
        job=job(product_id),
        result=Failure(code=code, detail=f"No picture of {product_id}."),
    )


def begun(
    session: Session, outcomes: Sequence[Outcome], now: datetime, **options: Any
) -> dict[str, Attempt]:
    """The attempts that led to these outcomes, counted as a worker does it.

    Each product's message is a new one of a stranger.
    """
    jobs = {each.subject: each.job for each in outcomes if each.job}
    deliveries = [Delivery(job=each, message_id=uuid4().hex) for each in jobs.values()]
    fixed: dict[str, Any] = {"owner": "test:1", "attempt_s_max": 90.0, "alone": True}
    return dict(begin(session, deliveries, now, **fixed | options).attempts)


def record(session: Session, outcomes: Sequence[Outcome], now: datetime, **options: Any) -> None:
    """Begin the attempts that these outcomes need, and record what came of them."""
    record_outcomes(session, outcomes, now, attempts=begun(session, outcomes, now), **options)


def network(name: NetworkName = NetworkName.REDUCED, **fields: Any) -> Network:
    shape = (28, 28, 1) if name is NetworkName.REDUCED else (64, 64, 3)
    defaults: dict[str, Any] = {
        "input": shape,
        "preprocessing": preprocessing_of(name),
        "outputs": {"logits": (10,), "class_maps": (7, 7, 10), "embedding": (64,)},
        "temperature": 1.0,
        "acceptance": Acceptance(
            confidence_min=dict.fromkeys(LABELS, 0.9), precision=0.99, guarantee_level=0.95
        ),
        "out_of_taxonomy": OutOfTaxonomy(score="energy", threshold=0.0),
    }
    return Network(**defaults | fields)


def manifest(**fields: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "format": FORMAT,
        "model_version": "test-1",
        "created_at": "2026-01-01T00:00:00+00:00",
        "labels": LABELS,
        "taxonomy": FASHION_MNIST,
        "networks": {NetworkName.REDUCED: network()},
        "metrics": {},
        "training": {},
        "data": {},
        "libraries": {},
        "files": {},
    }
    return Manifest(**defaults | fields)
