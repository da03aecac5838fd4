"""Images from object stores, through fsspec where it is installed."""

import importlib
from collections.abc import Callable
from typing import Any

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.deadline import Deadline, call_within
from catalog.fetching.limits import FetchLimits
from catalog.redaction import shown_uri

# URI scheme → the package that teaches it to fsspec.
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs"}


def open_with_fsspec(scheme: str) -> Any:
    """The fsspec filesystem of a scheme, with the credentials of the worker's environment.

    Raises:
        ImportError: fsspec or the scheme's package is not installed.
    """
    return importlib.import_module("fsspec").filesystem(scheme)


class ObjectSource:
    """Reads objects under the prefixes that the operator named.

    The worker's credentials usually open more buckets than the one with the pictures, so a URI
    may only name what TAGGER_OBJECT_STORES lists.
    """

    def __init__(
        self, limits: FetchLimits, open_filesystem: Callable[[str], Any] = open_with_fsspec
    ) -> None:
        self._limits = limits
        self._open_filesystem = open_filesystem

    def fetch(self, uri: str) -> bytes:
        """The bytes of an object.

        Raises:
            FetchFailure: unknown_scheme, forbidden_path, not_found, too_many_bytes,
                fetch_timeout or connection_failed.
        """
        scheme = uri.partition("://")[0].lower()
        self._check(uri, scheme)
        deadline = Deadline(self._limits.total_timeout_s)
        # The stores' clients retry and wait by their own rules.
        return call_within(deadline, None, lambda: self._read(uri, scheme))

    def _check(self, uri: str, scheme: str) -> None:
        mine = [each for each in self._limits.object_stores if each.startswith(f"{scheme}://")]
        if not mine:
            raise _unknown_scheme(scheme, f"TAGGER_OBJECT_STORES={scheme}://your-bucket/ and ")
        inside = any(uri.startswith(each.rstrip("/") + "/") for each in mine)
        # Stores take `..` literally, some gateways in front of them do not.
        if not inside or ".." in uri.split("/"):
            raise FetchFailure(
                FailureCode.FORBIDDEN_PATH,
                f"Expected an object under {', '.join(mine)}, found {shown_uri(uri)[:200]!r}; "
                "add its prefix to TAGGER_OBJECT_STORES.",
            )

    def _read(self, uri: str, scheme: str) -> bytes:
        try:
            filesystem = self._open_filesystem(scheme)
            with filesystem.open(uri.partition("://")[2], "rb") as stream:
                data = stream.read(self._limits.bytes_max + 1)
        except ImportError as error:
            raise _unknown_scheme(scheme, "") from error
        except FileNotFoundError as error:
            raise FetchFailure(
                FailureCode.NOT_FOUND,
                f"Expected an object at {shown_uri(uri)}, found none. Correct the URI.",
            ) from error
        except PermissionError as error:
            raise FetchFailure(
                FailureCode.FORBIDDEN_PATH,
                f"Expected to be allowed to read {shown_uri(uri)}, found: {error}. "
                "Give the worker's credentials access to it.",
            ) from error
        except Exception as error:
            raise FetchFailure(
                FailureCode.CONNECTION_FAILED,
                f"Expected to read {shown_uri(uri)}, found {type(error).__name__}: {error}. "
                "It is tried again; look at the object store if this stays.",
            ) from error
        if len(data) > self._limits.bytes_max:
            raise FetchFailure(
                FailureCode.TOO_MANY_BYTES,
                f"Expected at most {self._limits.bytes_max:,} bytes, found more. "
                "Upload a smaller file.",
            )
        return bytes(data)


def _unknown_scheme(scheme: str, setting: str) -> FetchFailure:
    return FetchFailure(
        FailureCode.UNKNOWN_SCHEME,
        f"Expected https, http or file, found {scheme}, which is not set up here. "
        f"To fetch from {scheme}, set {setting}`pip install fsspec {PACKAGES[scheme]}`.",
    )
