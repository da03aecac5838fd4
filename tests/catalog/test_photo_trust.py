import numpy as np
import pytest

from catalog.acceptance import NEVER
from catalog.photo_trust import (
    Photos,
    evidence,
    verdict,
)
from catalog.statistics import error_at_most

LEVEL, PRECISION = 0.95, 0.97


def photos(
    count: int,
    *,
    confidence: float = 0.9,
    wrong: int = 0,
    accepted: bool = False,
    reviewed: int | None = None,
    audited: int | None = None,
) -> Photos:
    """Photos of one class; the first ones are the wrong ones, the last ones wait."""
    number = np.arange(count)
    asked = number < (count if audited is None else audited)
    done = asked & (number < (count if reviewed is None else reviewed))
    return Photos(
        confidence=np.full(count, confidence),
        accepted=np.full(count, accepted),
        asked=asked,
        reviewed=done,
        right=done & (number >= wrong),
    )


def joined(*parts: Photos) -> Photos:
    return Photos(
        **{
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in Photos.__dataclass_fields__
        }
    )


def judged(found: Photos, now_from: float = 0.995) -> float | None:
    return verdict("bag", found, now_from=now_from, precision=PRECISION, level=LEVEL).confidence_min


@pytest.mark.parametrize(("count", "earned"), [(98, None), (99, 0.9)])
def test_trust_takes_ninety_nine_right_reviews_and_no_wrong_one(
    count: int, earned: float | None
) -> None:
    # The ones at 0.9 prove every laxer confidence, too: there is nothing below them.
    found = judged(photos(count))
    assert found is None if earned is None else found is not None and found <= earned


def test_a_class_is_accepted_from_where_its_reviews_prove_it_and_no_lower() -> None:
    found = joined(photos(200, confidence=0.96), photos(200, confidence=0.72, wrong=40))
    assert judged(found) == 0.8


def test_what_waits_counts_as_wrong_so_that_picking_the_easy_ones_earns_nothing() -> None:
    # Of 200 photos the reviewers chose 120 right ones here and there and left the others.
    picked = photos(200)
    left = np.arange(200) % 5 < 2
    chosen = Photos(
        confidence=picked.confidence,
        accepted=picked.accepted,
        asked=picked.asked,
        reviewed=picked.reviewed & ~left,
        right=picked.right & ~left,
    )
    assert judged(chosen) is None


def test_photos_that_came_last_and_wait_do_not_spoil_what_came_before() -> None:
    assert judged(photos(400, reviewed=150)) is not None


def test_accepted_photos_count_by_their_audit_samples_and_weigh_as_many_as_they_are() -> None:
    flagged = photos(150, confidence=0.9)
    few = photos(600, confidence=0.996, accepted=True, audited=20)
    assert judged(joined(flagged, few)) is None
    enough = photos(600, confidence=0.996, accepted=True, audited=150)
    assert judged(joined(flagged, enough)) is not None


def test_a_wrong_audit_sample_speaks_for_all_that_nobody_looked_at() -> None:
    accepted = photos(1000, confidence=0.996, accepted=True, audited=100, wrong=1)
    found = evidence(accepted, 0.99, LEVEL)
    assert (found.reviewed, found.right) == (100, 99)
    assert found.error_at_most == pytest.approx(error_at_most(1, 100, LEVEL))


def test_reviews_that_refute_the_rule_in_force_withdraw_it() -> None:
    accepted = photos(300, confidence=0.996, accepted=True, audited=100, wrong=20)
    assert judged(accepted) == NEVER


def test_what_is_missing_is_the_number_of_right_reviews_that_would_do() -> None:
    found = verdict("bag", photos(40), now_from=0.995, precision=PRECISION, level=LEVEL)
    assert found.more_right == 59
    nothing = verdict("bag", photos(0), now_from=0.995, precision=PRECISION, level=LEVEL)
    assert nothing.more_right == 99
