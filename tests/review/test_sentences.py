import pytest
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from db.ledger.models import Product
from db.review.listing import entries
from review.sentences import percent, readable, why
from tests.desk import NOON, flag, item


@pytest.mark.parametrize(
    ("reason", "confidence", "said"),
    [
        (
            FlagReason.LOW_CONFIDENCE,
            0.42,
            "The model is only 42 % sure that this is an Ankle boot; Shirt follows with 58 %.",
        ),
        (
            FlagReason.LOW_CONFIDENCE,
            0.9,
            "The model is 90 % sure that this is an Ankle boot, and takes more to accept one; "
            "Shirt follows with 10 %.",
        ),
        (FlagReason.OUT_OF_TAXONOMY, 0.9, "It looks unlike anything in the taxonomy."),
        (
            FlagReason.DECLARED_LABEL_CONFLICT,
            0.9,
            "The shop declared “Skirt”, the model sees an Ankle boot.",
        ),
        (
            FlagReason.LABEL_CHANGED_ON_RETAG,
            0.9,
            "A newer model has changed its label to Ankle boot.",
        ),
        (FlagReason.POOR_IMAGE, 0.9, "The picture shows too little to be trusted."),
        (
            FlagReason.AUDIT_SAMPLE,
            0.999,
            "The model was 99 % sure and accepted it; drawn as a sample to check how often that "
            "is right.",
        ),
    ],
)
def test_every_flag_reason_has_its_sentence(
    session: Session, reason: FlagReason, confidence: float, said: str
) -> None:
    tagging_id = flag(session, "p1", confidence, label="ankle-boot", reasons=(reason,))
    session.get_one(Product, "p1").declared_label = "Skirt"
    item(session, "p1").declared_label = "Skirt"
    session.flush()
    [entry] = entries(session, [tagging_id], NOON)
    assert why(entry) == said


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        ("sandal", "People called one that looks like it Sandal."),
        ("not_in_taxonomy", "People called one that looks like it not in the taxonomy."),
    ],
)
def test_what_people_called_a_look_alike_is_said(session: Session, hint: str, said: str) -> None:
    tagging_id = flag(session, "p1", 0.42, label="ankle-boot")
    item(session, "p1").hint = hint
    session.flush()
    [entry] = entries(session, [tagging_id], NOON)
    assert why(entry).endswith(f"Shirt follows with 58 %. {said}")


@pytest.mark.parametrize(
    ("certain_at", "said"),
    [
        ("footwear", "Shirt follows with 58 %. It is sure of Footwear."),
        ("ankle-boot", "Shirt follows with 58 %."),
    ],
)
def test_parent_that_the_model_is_sure_of_is_said(
    session: Session, certain_at: str, said: str
) -> None:
    tagging_id = flag(session, "p1", 0.42, label="ankle-boot", certain_at=certain_at)
    [entry] = entries(session, [tagging_id], NOON)
    assert why(entry).endswith(said)


def test_nearly_certain_is_not_called_certain() -> None:
    assert (percent(0.9999), percent(1.0), percent(0.004)) == ("99 %", "100 %", "0 %")


def test_labels_of_people_are_readable() -> None:
    assert readable("not_in_taxonomy") == "not in the taxonomy"
    assert readable("coat") == "coat"
