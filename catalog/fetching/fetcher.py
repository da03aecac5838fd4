"""From an image's URI to its bytes, whatever the URI says."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching import http, objects
from catalog.fetching.connecting import Resolve, resolve_with_system
from catalog.fetching.files import FileSource
from catalog.fetching.limits import FetchLimits
from catalog.fetching.slots import ConnectionSlots, Slot
from catalog.fetching.validators import Fetched
from catalog.redaction import shown_uri

__all__ = ["FetchLimits", "Fetcher"]


class Fetcher:
    """Fetches images; one for each process, made after the fork, used by all its threads."""

    def __init__(
        self,
        limits: FetchLimits,
        allowed_roots: Sequence[Path],
        *,
        resolve: Resolve = resolve_with_system,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """Open and connect nothing yet.

        Raises:
            ValueError: an allowed network is none.
        """
        self._files = FileSource(allowed_roots, limits.bytes_max)
        self.slots = ConnectionSlots(
            per_host_max=limits.connections_per_host_max, total_max=limits.connections_max
        )
        self._http = http.HttpSource(limits, self.slots, resolve, ssl_context)
        self._objects = objects.ObjectSource(limits, self.slots)

    def fetch(self, image_uri: str) -> bytes:
        """The bytes of one image, at most `bytes_max` of them, not looked at.

        Raises:
            FetchFailure: with a code that says whether another attempt may help.
        """
        return self.fetch_validated(image_uri).data

    def validator(self, image_uri: str) -> str | None:
        """What tells whether an image is still the same, without fetching it; None: nothing does.

        Raises:
            FetchFailure: a file cannot be opened, an object not be read, or the URL is none.
        """
        scheme = image_uri.partition(":")[0].lower()
        if scheme in http.SCHEMES:
            return self._http.validator(image_uri)
        if scheme == "file" or image_uri.startswith("/"):
            return self._files.validator(image_uri)
        if scheme in objects.STORES:
            return self._objects.validator(image_uri)
        return None

    def fetch_validated(self, image_uri: str, slot: Slot | None = None) -> Fetched:
        """As `fetch`, and what will tell later that the image is still the same.

        slot: one of `slots` that was taken ahead for the image's host; its taker frees it.

        Raises:
            FetchFailure: as `fetch` does.
        """
        scheme, separator, _ = image_uri.partition(":")
        scheme = scheme.lower()
        if scheme in http.SCHEMES:
            return self._http.fetch_validated(image_uri, slot)
        if scheme == "file" or image_uri.startswith("/"):
            return self._files.fetch_validated(image_uri)
        if scheme in objects.STORES:
            return self._objects.fetch_validated(image_uri, slot)
        if not separator or "/" in scheme:
            raise FetchFailure(
                FailureCode.INVALID_URI,
                "Expected a URI or an absolute path, found "
                f"{shown_uri(image_uri)[:200]!r}. Correct the URI.",
            )
        raise FetchFailure(
            FailureCode.UNKNOWN_SCHEME,
            f"Expected https, http, file, {', '.join(objects.STORES)} or an absolute path, "
            f"found the scheme {scheme[:20]!r}. Correct the URI.",
        )

    def close(self) -> None:
        """Close all kept connections."""
        self._http.close()
