import numpy as np
import pytest

from catalog.acceptance import NEVER, rule_for
from catalog.networks import Acceptance, NetworkName, PictureKind
from tests.factories import manifest, network
from tests.taxonomies import taxonomy
from trainer.level_acceptance import by_level, fit_parents

LABELS = ("tee", "shirt", "boot", "bag")
SHOP = taxonomy(*LABELS, parents=(("tops", ("tee", "shirt")), ("shoes", ("boot",))))
RULE = Acceptance(
    confidence_min=dict.fromkeys(LABELS, 0.9),
    precision=0.99,
    class_precision=0.97,
    guarantee_level=0.95,
)


def drawn(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Tees and shirts that the model cannot tell apart, and bags that it can."""
    random = np.random.default_rng(0)
    labels = random.choice([0, 1, 3], count)
    confidences = np.full((count, 4), 0.01)
    tops = labels != 3
    share = random.uniform(0.3, 0.7, count)
    confidences[tops, 0], confidences[tops, 1] = share[tops] - 0.01, 0.99 - share[tops]
    confidences[~tops, 3] = 0.97
    return confidences, labels


def test_a_parent_is_certain_where_its_labels_are_not() -> None:
    confidences, labels = drawn(3000)
    least = fit_parents(confidences, labels, LABELS, SHOP, RULE)
    assert least["tops"] == pytest.approx(0.98)
    assert least["shoes"] == NEVER
    acceptance = Acceptance(
        confidence_min={**RULE.confidence_min, **least}, precision=0.99, guarantee_level=0.95
    )
    networks = {NetworkName.REDUCED: network(acceptance=acceptance)}
    made = manifest(labels=LABELS, taxonomy=SHOP, networks=networks)
    found = by_level(rule_for(made, kind=PictureKind.REDUCED), confidences, labels, LABELS, SHOP)
    tops = int((labels != 3).sum())
    assert (found["label"]["count"], found["label"]["precision"]) == (3000 - tops, 1.0)
    assert (found["tops"]["count"], found["tops"]["precision"]) == (tops, 1.0)
    assert found["none"]["count"] == 0


def test_a_parent_that_errs_is_never_certain() -> None:
    confidences, labels = drawn(3000)
    labels[(labels < 2) & (np.arange(len(labels)) % 8 == 0)] = 2
    assert fit_parents(confidences, labels, LABELS, SHOP, RULE)["tops"] == NEVER


def test_what_cannot_be_shown_is_not_promised() -> None:
    confidences, labels = drawn(60)
    assert fit_parents(confidences, labels, LABELS, SHOP, RULE)["tops"] == NEVER
