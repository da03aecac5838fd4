"""Reason codes have meanings, and failures survive the way between processes."""

import pickle

import pytest

from catalog.failures import DecodeFailure, FailureCode, FetchFailure, ImageFailure


@pytest.mark.parametrize("code", FailureCode)
def test_every_code_is_its_text_and_has_a_meaning(code: FailureCode) -> None:
    assert FailureCode(str(code)) is code
    assert code == code.value == code.name.lower()
    assert len(code.meaning.split()) >= 4
    assert isinstance(code.transient, bool)


def test_what_time_may_heal_is_transient_and_what_it_cannot_heal_is_permanent() -> None:
    heals = {code for code in FailureCode if code.transient}
    assert heals >= {
        FailureCode.FETCH_TIMEOUT,
        FailureCode.HTTP_SERVER_ERROR,
        FailureCode.RATE_LIMITED,
        FailureCode.CONNECTION_FAILED,
    }
    assert not heals & {
        FailureCode.NOT_FOUND,
        FailureCode.NOT_AN_IMAGE,
        FailureCode.TOO_MANY_BYTES,
        FailureCode.FORBIDDEN_ADDRESS,
        FailureCode.MALFORMED_PAYLOAD,
        FailureCode.PROCESSING_CRASHED,
    }


@pytest.mark.parametrize("kind", [ImageFailure, FetchFailure, DecodeFailure])
def test_a_failure_survives_pickling_with_all_it_carries(kind: type[ImageFailure]) -> None:
    failure = kind(FailureCode.RATE_LIMITED, "Expected bytes, found 429. Wait.", 30.0)
    copy = pickle.loads(pickle.dumps(failure))
    assert type(copy) is kind
    assert (copy.code, copy.detail, copy.retry_after_s) == (
        FailureCode.RATE_LIMITED,
        "Expected bytes, found 429. Wait.",
        30.0,
    )
    assert str(copy) == "rate_limited: Expected bytes, found 429. Wait."
