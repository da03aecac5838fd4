from dataclasses import replace

import numpy as np
import pytest

from catalog.acceptance import Rule, flag_reasons, rule_for
from catalog.certainty import certain_at, certain_levels
from catalog.networks import PictureKind
from catalog.outcomes import FlagReason
from catalog.statistics import softmax
from tests.factories import manifest
from tests.taxonomies import taxonomy

LABELS = ("tee", "shirt", "boot", "bag")
SHOP = taxonomy(*LABELS, parents=(("tops", ("tee", "shirt")), ("shoes", ("boot",))))
LEAST = dict.fromkeys(LABELS, 0.9) | {"tops": 0.8}
UNSURE = (FlagReason.LOW_CONFIDENCE,)


def shop_rule(least: dict[str, float]) -> Rule:
    made = manifest(labels=LABELS, taxonomy=SHOP)
    rule = rule_for(made, kind=PictureKind.REDUCED)
    return replace(rule, acceptance=replace(rule.acceptance, confidence_min=least))


def level(
    *confidences: float,
    reasons: tuple[FlagReason, ...] = UNSURE,
    declared: str | None = None,
    least: dict[str, float] = LEAST,
) -> str | None:
    rule = shop_rule(least)
    return certain_at(rule, LABELS, SHOP, np.array(confidences), reasons=reasons, declared=declared)


def test_what_is_sure_of_its_label_is_certain_of_it() -> None:
    assert level(0.95, 0.02, 0.02, 0.01, reasons=()) == "tee"
    assert level(0.95, 0.02, 0.02, 0.01, reasons=(FlagReason.AUDIT_SAMPLE,)) == "tee"


def test_labels_that_share_a_parent_add_up_to_it() -> None:
    assert level(0.5, 0.4, 0.05, 0.05) == "tops"
    assert level(0.5, 0.2, 0.2, 0.1) is None


def test_a_parent_that_the_rule_does_not_name_is_never_certain() -> None:
    assert level(0.1, 0.05, 0.85, 0.0) is None
    assert level(0.1, 0.05, 0.85, 0.0, least=LEAST | {"shoes": 0.84}) == "shoes"


def test_many_at_once_are_certain_of_the_same_as_one_by_one() -> None:
    confidences = softmax(np.random.default_rng(0).normal(0, 2, (500, 4)))
    found = certain_levels(shop_rule(LEAST), LABELS, SHOP, confidences).tolist()
    assert found == [level(*row) for row in confidences]
    assert {"tee", "shirt", "boot", "bag", "tops", None} == set(found)


@pytest.mark.parametrize("doubt", [FlagReason.OUT_OF_TAXONOMY, FlagReason.POOR_IMAGE])
def test_a_strange_or_poor_picture_is_certain_of_nothing(doubt: FlagReason) -> None:
    assert level(0.95, 0.02, 0.02, 0.01, reasons=(doubt,)) is None


def test_where_the_sender_said_something_else_only_what_both_say_is_certain() -> None:
    conflict = (FlagReason.DECLARED_LABEL_CONFLICT,)
    assert level(0.95, 0.02, 0.02, 0.01, reasons=conflict, declared="Shirt") == "tops"
    assert level(0.95, 0.02, 0.02, 0.01, reasons=conflict, declared="boot") is None
    assert level(0.95, 0.02, 0.02, 0.01, reasons=conflict, declared="spring sale") is None


@pytest.mark.parametrize(
    ("declared", "conflict"),
    [
        (None, False),
        ("tee", False),
        ("TEE", False),
        ("Tops", False),
        ("Clothes > Tops", False),
        ("Tops > Tee", False),
        ("Shirt", True),
        ("shoes", True),
        ("spring sale", True),
    ],
)
def test_declared_labels_are_compared_as_categories(declared: str | None, conflict: bool) -> None:
    made = manifest(labels=LABELS, taxonomy=SHOP)
    found = flag_reasons(
        rule_for(made, kind=PictureKind.REDUCED),
        LABELS,
        np.array([0.95, 0.02, 0.02, 0.01]),
        strangeness=-1.0,
        poor=False,
        declared=declared,
        product_id="p1",
        taxonomy=SHOP,
    )
    assert (FlagReason.DECLARED_LABEL_CONFLICT in found) is conflict
