"""Why a product could not be tagged: every reason code, and the exceptions that carry one.

The codes are stored in the failures table and shown to people; renaming one needs a migration.
"""

from enum import StrEnum
from typing import Final, Self

from catalog.redaction import without_secrets

TRANSIENT: Final = True
PERMANENT: Final = False


class FailureCode(StrEnum):
    """A reason code: its text, its meaning, and whether another attempt may help.

    A transient failure is retried with backoff until its attempts are used up; a permanent one
    fails at once and stays until a person replays it.
    """

    meaning: str
    transient: bool

    def __new__(cls, text: str, meaning: str, transient: bool) -> Self:
        """A member that equals, and is stored as, its text."""
        member = str.__new__(cls, text)
        member._value_ = text
        member.meaning = meaning
        member.transient = transient
        return member

    # The message
    MALFORMED_PAYLOAD = "malformed_payload", "the message is no valid job", PERMANENT
    NOT_A_MESSAGE = "not_a_message", "no Celery message: there is no envelope to read", PERMANENT
    MESSAGE_TOO_LARGE = "message_too_large", "the message is larger than any allowed", PERMANENT
    UNREADABLE_BODY = (
        "unreadable_body",
        "the message's body cannot be decoded: its type, encoding or JSON",
        PERMANENT,
    )
    MALFORMED_CALL = "malformed_call", "the body does not hold args and kwargs", PERMANENT
    UNKNOWN_TASK = "unknown_task", "the message calls a task that its queue has not", PERMANENT

    # The address
    INVALID_URI = "invalid_uri", "the image's URI cannot be understood", PERMANENT
    UNKNOWN_SCHEME = "unknown_scheme", "nothing here can fetch URIs of this scheme", PERMANENT
    FORBIDDEN_PATH = (
        "forbidden_path",
        "the worker must not read this path, by the allowed roots or its permissions",
        PERMANENT,
    )
    FORBIDDEN_ADDRESS = (
        "forbidden_address",
        "the host has an address that images must not come from",
        PERMANENT,
    )

    # Getting the bytes
    NOT_FOUND = "not_found", "there is no such file or page", PERMANENT
    UNKNOWN_HOST = "unknown_host", "the host name does not exist", PERMANENT
    FILE_UNREADABLE = "file_unreadable", "the file exists and reading it failed", TRANSIENT
    CONNECTION_FAILED = "connection_failed", "the connection failed or broke off", TRANSIENT
    TLS_FAILED = "tls_failed", "the host's certificate cannot be trusted", PERMANENT
    FETCH_TIMEOUT = "fetch_timeout", "the bytes did not arrive in time", TRANSIENT
    INCOMPLETE_DOWNLOAD = (
        "incomplete_download",
        "the host sent fewer bytes than it had announced",
        TRANSIENT,
    )
    RATE_LIMITED = "rate_limited", "the host asked to come back later", TRANSIENT
    HTTP_SERVER_ERROR = "http_server_error", "the host answered with a 5xx status", TRANSIENT
    HTTP_CLIENT_ERROR = "http_client_error", "the host refused with a 4xx status", PERMANENT
    UNEXPECTED_RESPONSE = (
        "unexpected_response",
        "the host answered with something that HTTP does not foresee here",
        PERMANENT,
    )
    TOO_MANY_REDIRECTS = "too_many_redirects", "the host redirects on and on", PERMANENT

    # The bytes
    EMPTY_FILE = "empty_file", "the file has no bytes", PERMANENT
    TOO_MANY_BYTES = "too_many_bytes", "the file is larger than allowed", PERMANENT
    NOT_AN_IMAGE = "not_an_image", "the bytes are no picture, whatever the name says", PERMANENT
    UNSUPPORTED_FORMAT = "unsupported_format", "a picture in a format not read here", PERMANENT
    TRUNCATED_IMAGE = "truncated_image", "the file ends before its picture does", PERMANENT
    CORRUPT_IMAGE = "corrupt_image", "the file is damaged: its parts do not fit", PERMANENT
    TOO_MANY_PIXELS = "too_many_pixels", "the picture has more pixels than allowed", PERMANENT
    TOO_COSTLY_IMAGE = (
        "too_costly_image",
        "the file is built so that decoding it would take far too long",
        PERMANENT,
    )

    # The worker
    OUT_OF_MEMORY = "out_of_memory", "memory ran out over this picture", TRANSIENT
    PROCESSING_TIMED_OUT = (
        "processing_timed_out",
        "quarantined: the picture hung its process every time it was tried",
        PERMANENT,
    )
    PROCESSING_CRASHED = (
        "processing_crashed",
        "quarantined: the picture killed its process every time it was tried",
        PERMANENT,
    )
    INTERNAL_ERROR = "internal_error", "a mistake in the tagger itself", TRANSIENT


class ImageFailure(Exception):  # noqa: N818 - a failure is an outcome here, not a mistake
    """One product's image cannot be tagged.

    detail is a sentence that a person can act on; retry_after_s is how long the host asked to be
    left alone, where it did.
    """

    def __init__(self, code: FailureCode, detail: str, retry_after_s: float | None = None) -> None:
        detail = without_secrets(detail)
        # Names of files may hold bytes that are no text, and PostgreSQL stores no NUL.
        detail = detail.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
        # All arguments go to Exception, so that a failure survives the way between processes.
        super().__init__(code, detail, retry_after_s)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class FetchFailure(ImageFailure):
    """The bytes of an image could not be had."""


class DecodeFailure(ImageFailure):
    """The bytes of an image could not be turned into pixels."""
