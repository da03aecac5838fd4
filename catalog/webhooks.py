"""Signing what is posted to webhooks, as Standard Webhooks 1.0 says (standardwebhooks.com)."""

import base64
import hashlib
import hmac
import secrets as random_bytes
from collections.abc import Mapping, Sequence
from datetime import datetime

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES = 32


def new_secret() -> str:
    """A secret of 256 random bits, as the receiver's library takes it."""
    return SECRET_PREFIX + base64.b64encode(random_bytes.token_bytes(SECRET_BYTES)).decode()


def signed_headers(
    message_id: str, now: datetime, body: bytes, secrets: Sequence[str]
) -> Mapping[str, str]:
    """The three headers; more than one secret while a former one is still valid."""
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(secret, signed) for secret in secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
