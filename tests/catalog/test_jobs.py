import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.jobs import Job, MalformedJobError, canonical_json, parse_job, payload_subject

GOOD = {"product_id": "p1", "image_uri": "https://shop.example/p1.jpg"}


def test_payload_survives_the_wire() -> None:
    job = Job(**GOOD, declared_label="bag")
    assert parse_job(json.loads(json.dumps(job.payload()))) == job


def test_undeclared_label_is_not_sent() -> None:
    assert parse_job(GOOD).payload() == GOOD


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({}, "product_id"),
        ({"product_id": "p1"}, "image_uri"),
        (GOOD | {"product_id": ""}, "product_id"),
        (GOOD | {"product_id": "x" * 129}, "product_id"),
        (GOOD | {"product_id": 7}, "product_id"),
        (GOOD | {"product_id": None}, "product_id"),
        (GOOD | {"product_id": "a\nb"}, "product_id"),
        (GOOD | {"product_id": "a\0"}, "product_id"),
        (GOOD | {"product_id": "\ud800"}, "product_id"),
        (GOOD | {"image_uri": "x" * 3000}, "image_uri"),
        (GOOD | {"declared_label": ["bag"]}, "declared_label"),
        (GOOD | {"colour": "red"}, "colour"),
        ("p1", "str 'p1'"),
        (None, "NoneType None"),
        ([GOOD], "list"),
    ],
)
def test_malformed_payload_is_refused_with_its_field(payload: object, word: str) -> None:
    with pytest.raises(MalformedJobError, match="Expected") as error:
        parse_job(payload)
    assert word in str(error.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(json_values)
def test_whatever_arrives_is_a_job_or_a_malformed_job(payload: object) -> None:
    try:
        job = parse_job(payload)
    except MalformedJobError:
        subject = payload_subject(payload)
        assert len(subject) <= 128
        assert subject == payload_subject(json.loads(canonical_json(payload)))
    else:
        assert job.product_id
