"""Images from object stores (S3, Google Cloud Storage, Azure), through obstore where it is there.

obstore is Apache's object_store, in Rust: a GET costs 0.3 ms of CPU, and its waiting none of the
interpreter's lock. Credentials come from the worker's environment and the machine it runs on, as
the stores' own tools read them: AWS_ACCESS_KEY_ID and the like, GOOGLE_APPLICATION_CREDENTIALS,
AZURE_STORAGE_ACCOUNT_NAME, roles of instances and containers.
"""

import importlib
import re
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.deadline import Deadline
from catalog.fetching.limits import FetchLimits
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched, of_tag
from catalog.redaction import shown_uri

# URI scheme → obstore's class for it, which takes the bucket or container.
STORES = {"s3": "S3Store", "gs": "GCSStore", "az": "AzureStore"}
_STATUS = re.compile(r"status code: (\d{3})")
BUSY = {429, 503}
FORBIDDEN = {401, 403}

# Scheme, bucket and options → a store.
OpenStore = Callable[[str, str, Mapping[str, Any]], Any]


def open_with_obstore(scheme: str, bucket: str, options: Mapping[str, Any]) -> Any:
    """obstore's store of a bucket, with the credentials of the worker's environment.

    Raises:
        ImportError: obstore is not installed.
    """
    return getattr(importlib.import_module("obstore.store"), STORES[scheme])(bucket, **options)


class ObjectSource:
    """Reads objects under the prefixes that the operator named.

    The worker's credentials usually open more buckets than the one with the pictures, so a URI
    may only name what TAGGER_OBJECT_STORES lists.
    """

    def __init__(
        self,
        limits: FetchLimits,
        slots: ConnectionSlots,
        open_store: OpenStore = open_with_obstore,
    ) -> None:
        self._limits, self._slots = limits, slots
        self._open_store = open_store
        self._stores: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def fetch_validated(self, uri: str, slot: Slot | None = None) -> Fetched:
        """The bytes of an object, and its entity tag where it is a strong one.

        slot: one that was taken ahead, for the object's bucket.

        Raises:
            FetchFailure: unknown_scheme, forbidden_path, not_found, too_many_bytes,
                rate_limited, fetch_timeout or connection_failed.
        """
        scheme, bucket, path = self._checked(uri)
        deadline = Deadline(self._limits.total_timeout_s)
        host = bucket.lower()
        with self._slots.hold(host, deadline, slot):
            began = self._slots.now()
            try:
                found = _obstore(scheme).get(self._store(scheme, bucket), path)
                self._slots.answered(host, began)
                size = int(found.meta["size"])
                if size > self._limits.bytes_max:
                    raise self._too_many(size)
                if slot is not None:
                    slot.expect(size, deadline)
                data = bytes(found.bytes())
            except FetchFailure:
                raise
            except Exception as error:
                raise self._failure(uri, host, began, error) from error
        return Fetched(data=data, validator=of_tag(uri, found.meta.get("e_tag")))

    def validator(self, uri: str) -> str | None:
        """What a HEAD request tells of the object; None where it tells nothing.

        Raises:
            FetchFailure: it may not be read, or stores of its kind are not set up.
        """
        scheme, bucket, path = self._checked(uri)
        with self._slots.hold(bucket.lower(), Deadline(self._limits.total_timeout_s)):
            try:
                meta = _obstore(scheme).head(self._store(scheme, bucket), path)
            except FetchFailure:
                raise
            except Exception:
                return None  # asking for the object itself will tell
        return of_tag(uri, meta.get("e_tag"))

    def _checked(self, uri: str) -> tuple[str, str, str]:
        """Scheme, bucket and path of an object that may be read."""
        scheme = uri.partition("://")[0].lower()
        mine = [each for each in self._limits.object_stores if each.startswith(f"{scheme}://")]
        if not mine:
            raise _unknown_scheme(scheme, f"TAGGER_OBJECT_STORES={scheme}://your-bucket/ and ")
        inside = any(uri.startswith(each.rstrip("/") + "/") for each in mine)
        bucket, _, path = uri.partition("://")[2].partition("/")
        # Stores take `..` literally, some gateways in front of them do not.
        if not inside or not path or {"..", "."} & set(path.split("/")):
            raise FetchFailure(
                FailureCode.FORBIDDEN_PATH,
                f"Expected an object under {', '.join(mine)}, found {shown_uri(uri)[:200]!r}; "
                "add its prefix to TAGGER_OBJECT_STORES.",
            )
        return scheme, bucket, path

    def _store(self, scheme: str, bucket: str) -> Any:
        with self._lock:
            store = self._stores.get((scheme, bucket))
            if store is None:
                try:
                    store = self._open_store(scheme, bucket, self._options())
                except ImportError as error:
                    raise _unknown_scheme(scheme, "") from error
                self._stores[scheme, bucket] = store
            return store

    def _options(self) -> dict[str, Any]:
        return {
            "client_options": {
                # An endpoint without TLS is the operator's own choice, in the environment.
                "allow_http": True,
                "connect_timeout": timedelta(seconds=self._limits.connect_timeout_s),
                "timeout": timedelta(seconds=self._limits.total_timeout_s),
            },
            # What fails is planned again in the ledger.
            "retry_config": {
                "max_retries": 0,
                "retry_timeout": timedelta(seconds=self._limits.total_timeout_s),
            },
        }

    def _failure(self, uri: str, host: str, began: float, error: Exception) -> FetchFailure:
        """What a store's complaint means; tells the slots whether it was of too much."""
        found = str(error).partition("\n")[0][:300]
        status = int(told[1]) if (told := _STATUS.search(found)) else 0
        code, advice = _meaning(error, status)
        # obstore's own words for it do not tell a timeout from other ends of a connection.
        took_s = self._slots.now() - began
        if code is FailureCode.CONNECTION_FAILED and took_s >= 0.98 * self._limits.total_timeout_s:
            code = FailureCode.FETCH_TIMEOUT
        if status in BUSY or code in (FailureCode.FETCH_TIMEOUT, FailureCode.CONNECTION_FAILED):
            self._slots.refused(host, began, silently=not status)
        else:
            self._slots.answered(host, began)
        return FetchFailure(code, f"Expected to read {shown_uri(uri)}, found: {found}. {advice}")

    def _too_many(self, size: int) -> FetchFailure:
        return FetchFailure(
            FailureCode.TOO_MANY_BYTES,
            f"Expected at most {self._limits.bytes_max:,} bytes, found {size:,}. "
            "Upload a smaller file.",
        )


def _obstore(scheme: str) -> Any:
    try:
        return importlib.import_module("obstore")
    except ImportError as error:
        raise _unknown_scheme(scheme, "") from error


def _meaning(error: Exception, status: int) -> tuple[FailureCode, str]:
    if isinstance(error, FileNotFoundError):
        return FailureCode.NOT_FOUND, "Correct the URI."
    if isinstance(error, PermissionError) or status in FORBIDDEN:
        return FailureCode.FORBIDDEN_PATH, "Give the worker's credentials access to it."
    if status in BUSY:
        return FailureCode.RATE_LIMITED, "It is tried again."
    return FailureCode.CONNECTION_FAILED, "It is tried again; look at the store if this stays."


def _unknown_scheme(scheme: str, setting: str) -> FetchFailure:
    return FetchFailure(
        FailureCode.UNKNOWN_SCHEME,
        f"Expected https, http or file, found {scheme}, which is not set up here. "
        f"To fetch from {scheme}, set {setting}`pip install obstore`.",
    )
