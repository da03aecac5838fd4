"""Object stores are read only where the operator said so; moto's server speaks S3 for real."""

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.objects import STORES, ObjectSource
from catalog.fetching.slots import ConnectionSlots
from lab.pipeline.object_store import ObjectStore, object_store
from tests.catalog.fetching.hosts import Answer, hang, host, response

PHOTO = b"\xff\xd8\xff" + bytes(500)


@pytest.fixture(scope="module")
def shop() -> Iterator[ObjectStore]:
    with object_store() as store:
        store.put("photos/a.jpg", PHOTO)
        store.put("photos/Größe 7+8%/a b.jpg", b"spaces")
        store.put("other.jpg", PHOTO)
        store.create_bucket("private")
        store.require_keys()
        yield store


@pytest.fixture
def environment(shop: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in shop.environment().items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def source(**limits: Any) -> ObjectSource:
    chosen = {"object_stores": ("s3://shop/photos/",), "total_timeout_s": 20.0} | limits
    return ObjectSource(FetchLimits(**chosen), ConnectionSlots(per_host_max=4, total_max=8))


def refused(images: ObjectSource, uri: str) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        images.fetch_validated(uri)
    assert caught.value.detail.endswith(".")
    return caught.value


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("path", "data"), [("a.jpg", PHOTO), ("Größe 7+8%/a b.jpg", b"spaces")], ids=["plain", "odd"]
)
def test_an_object_under_a_named_prefix_is_read_with_the_environments_keys(
    path: str, data: bytes
) -> None:
    assert source().fetch_validated(f"s3://shop/photos/{path}").data == data


def test_other_keys_open_nothing(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_SECRET_ACCESS_KEY", "guessed")
    failure = refused(source(), "s3://shop/photos/a.jpg")
    assert failure.code is FailureCode.FORBIDDEN_PATH
    assert "guessed" not in failure.detail


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    "uri",
    [
        "s3://private/keys.txt",
        "s3://shop/other.jpg",
        "s3://shop/photos2/a.jpg",
        "s3://shop/photos/../other.jpg",
        "s3://shop/photos/../../private/keys.txt",
    ],
)
def test_the_workers_credentials_open_nothing_else(uri: str) -> None:
    assert refused(source(), uri).code is FailureCode.FORBIDDEN_PATH


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_store_that_is_not_set_up_says_what_to_set_and_install(scheme: str) -> None:
    with pytest.raises(FetchFailure) as caught:
        Fetcher(FetchLimits(), []).fetch(f"{scheme}://shop/a.jpg")
    assert caught.value.code is FailureCode.UNKNOWN_SCHEME
    assert f"TAGGER_OBJECT_STORES={scheme}://" in caught.value.detail
    assert "pip install obstore" in caught.value.detail


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_stores_of_every_kind_take_what_they_are_opened_with(
    scheme: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    environment.setenv("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0")
    limits = FetchLimits(object_stores=(f"{scheme}://shop/",))
    images = ObjectSource(limits, ConnectionSlots(per_host_max=4, total_max=8))
    assert type(images._store(scheme, "shop")).__name__ == STORES[scheme]


def test_a_store_whose_package_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    failure = refused(source(), "s3://shop/photos/a.jpg")
    assert failure.code is FailureCode.UNKNOWN_SCHEME
    assert "pip install obstore" in failure.detail


@pytest.mark.usefixtures("environment")
def test_a_missing_object_is_not_found() -> None:
    assert refused(source(), "s3://shop/photos/b.jpg").code is FailureCode.NOT_FOUND


@pytest.mark.usefixtures("environment")
def test_the_byte_limit_holds() -> None:
    images = source(bytes_max=100)
    assert refused(images, "s3://shop/photos/a.jpg").code is FailureCode.TOO_MANY_BYTES


@pytest.mark.usefixtures("environment")
def test_a_tag_tells_that_an_object_is_the_same(shop: ObjectStore) -> None:
    images, uri = source(), "s3://shop/photos/changing.jpg"
    shop.put("photos/changing.jpg", b"before")
    before = images.fetch_validated(uri).validator
    assert before is not None
    assert images.validator(uri) == before
    shop.put("photos/changing.jpg", b"after")
    assert images.validator(uri) not in (None, before)
    assert images.validator("s3://shop/photos/b.jpg") is None


@pytest.mark.usefixtures("environment")
def test_room_is_asked_for_before_the_object_is_read() -> None:
    slots = ConnectionSlots(per_host_max=4, total_max=8)
    images = ObjectSource(FetchLimits(object_stores=("s3://shop/",)), slots)
    slot = slots.take("shop")
    assert slot is not None
    expected: list[int] = []
    slot.expect = lambda size, deadline: expected.append(size)
    assert images.fetch_validated("s3://shop/photos/a.jpg", slot).data == PHOTO
    assert expected == [len(PHOTO)]
    assert slots.silent_s("shop") == 0.0


def answering(status: str) -> Answer:
    def answer(connection: Any, request: bytes) -> bool:
        connection.sendall(response(status, b"<Error><Code>SlowDown</Code></Error>"))
        return False

    return answer


def hanging(connection: Any, request: bytes) -> bool:
    hang(connection)
    return False


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (answering("503 Slow Down"), FailureCode.RATE_LIMITED),
        (answering("429 Too Many Requests"), FailureCode.RATE_LIMITED),
        (answering("403 Forbidden"), FailureCode.FORBIDDEN_PATH),
        (answering("500 Internal Server Error"), FailureCode.CONNECTION_FAILED),
        (hanging, FailureCode.FETCH_TIMEOUT),
    ],
    ids=["503", "429", "403", "500", "hangs"],
)
def test_what_a_store_complains_of_becomes_a_code(
    environment: pytest.MonkeyPatch, answer: Answer, code: FailureCode
) -> None:
    with host(answer) as store:
        environment.setenv("AWS_ENDPOINT_URL", store.url(""))
        failure = refused(source(total_timeout_s=2.0), "s3://shop/photos/a.jpg")
    assert failure.code is code


def test_a_store_that_asks_for_less_gets_fewer_connections(
    environment: pytest.MonkeyPatch,
) -> None:
    slots = ConnectionSlots(per_host_max=8, total_max=8)
    images = ObjectSource(FetchLimits(object_stores=("s3://shop/",)), slots)
    with host(answering("503 Slow Down")) as store:
        environment.setenv("AWS_ENDPOINT_URL", store.url(""))
        for _ in range(3):
            refused(images, "s3://shop/photos/a.jpg")
    assert slots.limit("shop") == 1


@pytest.mark.usefixtures("environment")
def test_many_threads_share_one_store() -> None:
    images, found = source(), []

    def fetch() -> None:
        found.append(images.fetch_validated("s3://shop/photos/a.jpg").data)

    threads = [threading.Thread(target=fetch) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [PHOTO] * 12
