"""What an image host's answer means, before any picture is looked at."""

import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from catalog.failures import FailureCode, FetchFailure
from catalog.redaction import shown_uri

REDIRECTS = {301, 302, 303, 307, 308}
# A host that asks for more than a day is asked again after a day.
RETRY_AFTER_MAX_S = 86_400.0


def failure_of(status: int, retry_after: str | None, uri: str) -> FetchFailure | None:
    """The failure that a final HTTP status stands for (RFC 9110, section 15); None for 200."""
    if status in (200, 203):
        return None
    code, advice = _meaning(status)
    return FetchFailure(
        code,
        f"Expected status 200 from {shown_uri(uri)}, found {status}. {advice}",
        parse_retry_after(retry_after) if code.transient else None,
    )


def _meaning(status: int) -> tuple[FailureCode, str]:
    if status in (404, 410):
        return FailureCode.NOT_FOUND, "Correct the URI, or upload the picture again."
    if status in (425, 429):
        return FailureCode.RATE_LIMITED, "It is tried again when the host asks for it."
    if status == 408:
        return FailureCode.FETCH_TIMEOUT, "It is tried again."
    if 400 <= status < 500:
        return FailureCode.HTTP_CLIENT_ERROR, "Let the host give the worker access to it."
    if 500 <= status < 600:
        return FailureCode.HTTP_SERVER_ERROR, "It is tried again; look at the image host."
    return FailureCode.UNEXPECTED_RESPONSE, "Check the URI in a browser."


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait by a Retry-After header, 0 to one day; None where it says nothing usable.

    Both forms of RFC 9110, section 10.2.3: seconds, or a date.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        # Cut, as a number of a million digits is a header, too.
        return min(float(text[:12]), RETRY_AFTER_MAX_S)
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        wait_s = (date - (now or datetime.now(UTC))).total_seconds()
    # A year of many digits, or the last day of the last year in a zone where that is over.
    except (ValueError, OverflowError, TypeError):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_MAX_S)


class Body:
    """Collects a response's bytes, unpacks them if it must, and never holds too many.

    The request asks for no Content-Encoding, as pictures are compressed already; some hosts gzip
    regardless. One layer is unpacked, in bounded steps: httpx would unpack 64 kB of a bomb to
    64 MB, and each further layer a thousandfold, before anybody could count.
    """

    def __init__(self, bytes_max: int, content_encoding: str | None) -> None:
        self._bytes_max = bytes_max
        self.received = 0
        self._parts: list[bytes] = []
        self._size = 0
        encoding = (content_encoding or "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip", "deflate"):
            raise FetchFailure(
                FailureCode.UNEXPECTED_RESPONSE,
                f"Expected plain bytes, found Content-Encoding {encoding[:40]!r}. "
                "Let the host serve pictures as they are.",
            )
        # 32 added: zlib tells gzip from zlib by the header.
        self._inflate = None if encoding == "identity" else zlib.decompressobj(32 + zlib.MAX_WBITS)

    def announce(self, content_length: str | None) -> int:
        """How many bytes it will have at most, by its Content-Length where there is a usable one.

        Raises:
            FetchFailure: too_many_bytes, of what need not be downloaded to be refused.
        """
        # Cut, as a number of a million digits is a header, too.
        text = (content_length or "").strip()[:24]
        if not (text.isascii() and text.isdigit()):
            return self._bytes_max
        if int(text) > self._bytes_max:
            raise self._too_many(f"{int(text):,}")
        return int(text) if self._inflate is None else self._bytes_max

    def add(self, chunk: bytes) -> None:
        """Take the next bytes off the wire.

        Raises:
            FetchFailure: too_many_bytes or unexpected_response.
        """
        self.received += len(chunk)
        if self.received > self._bytes_max:
            raise self._too_many("more")
        if self._inflate is None:
            self._keep(chunk)
            return
        try:
            self._keep(self._inflate.decompress(chunk, self._bytes_max - self._size + 1))
        except zlib.error as error:
            raise self._broken(str(error)) from error

    def whole(self) -> bytes:
        """All bytes.

        Raises:
            FetchFailure: unexpected_response, where the packed stream has no end.
        """
        if self._inflate is not None and self._size and not self._inflate.eof:
            raise self._broken("it ends too early")
        return b"".join(self._parts)

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._bytes_max:
            raise self._too_many("more once unpacked")
        self._parts.append(part)

    def _too_many(self, found: str) -> FetchFailure:
        return FetchFailure(
            FailureCode.TOO_MANY_BYTES,
            f"Expected at most {self._bytes_max:,} bytes, found {found}. Upload a smaller file.",
        )

    def _broken(self, found: str) -> FetchFailure:
        return FetchFailure(
            FailureCode.UNEXPECTED_RESPONSE,
            f"Expected an intact Content-Encoding, found: {found}. "
            "Let the host serve pictures as they are.",
        )
