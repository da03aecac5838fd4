"""Object stores are read only where the operator said so; fsspec's memory store stands in."""

import threading
import time
from typing import Any

import fsspec
import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits
from catalog.fetching.objects import ObjectSource
from tests.catalog.fetching.hosts import HANGS_S, PROMPT_S

PHOTO = b"\xff\xd8\xff" + bytes(500)


@pytest.fixture
def store() -> Any:
    memory = fsspec.filesystem("memory")
    memory.pipe("/shop/photos/a.jpg", PHOTO)
    memory.pipe("/private/keys.txt", b"secret")
    yield memory
    memory.rm("/", recursive=True)


def source(store: Any, **limits: Any) -> ObjectSource:
    chosen = {"object_stores": ("s3://shop/photos/",), "total_timeout_s": 2.0} | limits
    return ObjectSource(FetchLimits(**chosen), lambda scheme: store)


def refused(images: ObjectSource, uri: str) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        images.fetch(uri)
    return caught.value


def test_an_object_under_a_named_prefix_is_read(store: Any) -> None:
    assert source(store).fetch("s3://shop/photos/a.jpg") == PHOTO


@pytest.mark.parametrize(
    "uri",
    [
        "s3://private/keys.txt",
        "s3://shop/other.jpg",
        "s3://shop/photos2/a.jpg",
        "s3://shop/photos/../../private/keys.txt",
    ],
)
def test_the_workers_credentials_open_nothing_else(store: Any, uri: str) -> None:
    assert refused(source(store), uri).code is FailureCode.FORBIDDEN_PATH


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("az", "adlfs")])
def test_a_store_that_is_not_set_up_says_what_to_set_and_install(scheme: str, package: str) -> None:
    with pytest.raises(FetchFailure) as caught:
        Fetcher(FetchLimits(), []).fetch(f"{scheme}://shop/a.jpg")
    assert caught.value.code is FailureCode.UNKNOWN_SCHEME
    assert f"TAGGER_OBJECT_STORES={scheme}://" in caught.value.detail
    assert f"pip install fsspec {package}" in caught.value.detail


def test_a_store_whose_package_is_missing_says_so() -> None:
    def missing(scheme: str) -> Any:
        raise ImportError("Please install s3fs")

    images = ObjectSource(FetchLimits(object_stores=("s3://shop/",)), missing)
    failure = refused(images, "s3://shop/a.jpg")
    assert failure.code is FailureCode.UNKNOWN_SCHEME
    assert "pip install fsspec s3fs" in failure.detail


def test_a_missing_object_is_not_found(store: Any) -> None:
    assert refused(source(store), "s3://shop/photos/b.jpg").code is FailureCode.NOT_FOUND


def test_the_byte_limit_holds(store: Any) -> None:
    images = source(store, bytes_max=100)
    assert refused(images, "s3://shop/photos/a.jpg").code is FailureCode.TOO_MANY_BYTES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError("AccessDenied"), FailureCode.FORBIDDEN_PATH),
        (TimeoutError("read timed out"), FailureCode.CONNECTION_FAILED),
        (RuntimeError("no credentials"), FailureCode.CONNECTION_FAILED),
    ],
    ids=str,
)
def test_what_a_store_complains_of_becomes_a_code(error: Exception, code: FailureCode) -> None:
    def complain(scheme: str) -> Any:
        raise error

    images = ObjectSource(FetchLimits(object_stores=("s3://shop/",)), complain)
    assert refused(images, "s3://shop/a.jpg").code is code


def test_a_store_that_hangs_is_not_waited_for() -> None:
    released = threading.Event()

    def hang(scheme: str) -> Any:
        released.wait(HANGS_S)

    limits = FetchLimits(object_stores=("s3://shop/",), total_timeout_s=0.2)
    images = ObjectSource(limits, hang)
    try:
        started = time.monotonic()
        assert refused(images, "s3://shop/a.jpg").code is FailureCode.FETCH_TIMEOUT
        assert time.monotonic() - started < PROMPT_S
    finally:
        released.set()
