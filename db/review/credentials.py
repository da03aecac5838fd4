"""Secrets of reviewers: made here, shown once, kept as argon2 hashes only."""

import hashlib
import re
import secrets
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

PREFIX = "tagger"
_SELECTOR_BYTES = 6
_SECRET_BYTES = 24
_FORM = re.compile(rf"{PREFIX}-([0-9a-f]{{{2 * _SELECTOR_BYTES}}})-[0-9a-f]{{{2 * _SECRET_BYTES}}}")
# RFC 9106, section 4, second recommendation: 64 MiB and three passes.
_hasher = PasswordHasher()
# Verified when a selector is unknown, so that the answer takes as long as for a known one.
_NOBODY = (
    "$argon2id$v=19$m=65536,t=3,p=4$nYwdWni/8InJcV7jw/jiYA$"
    "cWzpuXYtualj7T1juT1uzeqJUbgcPj88nTytC3S1ja8"
)


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A secret as it is handed out: `tagger-<selector>-<secret>`."""

    selector: str
    text: str

    @property
    def secret_hash(self) -> str:
        """argon2id of the secret, with its own salt."""
        return _hasher.hash(self.text.rpartition("-")[2])


def new_secret() -> Secret:
    """192 random bits, in characters that survive any shell and URL."""
    selector = secrets.token_hex(_SELECTOR_BYTES)
    return Secret(selector=selector, text=f"{PREFIX}-{selector}-{secrets.token_hex(_SECRET_BYTES)}")


def selector_of(text: str) -> str | None:
    """The public half of a secret; None where the text has not the form of one."""
    found = _FORM.fullmatch(text)
    return found[1] if found else None


def matches(text: str, secret_hash: str | None) -> bool:
    """Whether a secret is the hashed one; takes as long when there is none."""
    try:
        found = _hasher.verify(secret_hash or _NOBODY, text.rpartition("-")[2])
    except (Argon2Error, InvalidHashError):
        return False
    return found and secret_hash is not None


def cookie_digest(cookie: str) -> str:
    """SHA-256 of a cookie: 256 random bits need no slow hash."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()
