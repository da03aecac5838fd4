from typing import Any

import pytest

from catalog.bundle import Acceptance, OutOfTaxonomy
from catalog.flagging import flag_reasons
from catalog.outcomes import FlagReason


def reasons(**fields: Any) -> tuple[FlagReason, ...]:
    defaults: dict[str, Any] = {
        "product_id": "p1",
        "label": "Bag",
        "confidence": 0.95,
        "out_of_taxonomy_score": -5.0,
        "declared_label": None,
        "poor_image": False,
        "acceptance": Acceptance(
            confidence_min={"Bag": 0.9, "Shirt": 1.1}, precision=0.99, guarantee_level=0.95
        ),
        "out_of_taxonomy": OutOfTaxonomy(score="energy", threshold=-1.0),
        "audit_share": 0.0,
    }
    return flag_reasons(**defaults | fields)


def test_sure_tagging_is_accepted() -> None:
    assert reasons() == ()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"confidence": 0.899}, FlagReason.LOW_CONFIDENCE),
        ({"label": "Shirt", "confidence": 1.0}, FlagReason.LOW_CONFIDENCE),
        ({"label": "a class the rule does not name", "confidence": 1.0}, FlagReason.LOW_CONFIDENCE),
        ({"out_of_taxonomy_score": -0.9}, FlagReason.OUT_OF_TAXONOMY),
        ({"declared_label": "Shirt"}, FlagReason.DECLARED_LABEL_CONFLICT),
        ({"declared_label": "Watch"}, FlagReason.DECLARED_LABEL_CONFLICT),
        ({"poor_image": True}, FlagReason.POOR_IMAGE),
        ({"audit_share": 1.0}, FlagReason.AUDIT_SAMPLE),
    ],
)
def test_each_reason_is_given_alone(fields: dict[str, Any], reason: FlagReason) -> None:
    assert reasons(**fields) == (reason,)


@pytest.mark.parametrize("declared", ["Bag", " bag ", "BAG"])
def test_declared_label_is_compared_as_people_write_it(declared: str) -> None:
    assert reasons(declared_label=declared) == ()


def test_item_flagged_anyway_is_no_audit_sample() -> None:
    assert reasons(poor_image=True, audit_share=1.0) == (FlagReason.POOR_IMAGE,)


def test_audit_draws_its_share_and_the_same_products_every_time() -> None:
    drawn = [n for n in range(10_000) if reasons(product_id=str(n), audit_share=0.05)]
    assert 400 < len(drawn) < 600
    assert drawn == [n for n in range(10_000) if reasons(product_id=str(n), audit_share=0.05)]
