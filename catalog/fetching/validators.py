"""What tells, without fetching it, that a picture is still the same.

A file's inode, size, modification and change time; of a URL or an object in a store the strong
entity tag (RFC 9110, section 8.8.3). A weak tag, a time in seconds or an answer after a redirect
tells too little, and stands for nothing: such a picture is fetched again. The URI is part of the
text, so that what was known of one address says nothing of another.
"""

import hashlib
import os
import time
from dataclasses import dataclass

import httpx

# Servers' tags have 10 to 70 characters, and the column has room for this; a longer one counts as
# none, and the picture is fetched again.
ETAG_LENGTH_MAX = 256
# A file that was written just now may be written again within one tick of its clock.
SETTLED_AFTER_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """An image's bytes, not looked at; validator is None where nothing tells it is the same."""

    data: bytes
    validator: str | None = None


def of_file(uri: str, status: os.stat_result) -> str | None:
    """The validator of an open file; None while it is fresh."""
    if abs(time.time() - status.st_mtime) < SETTLED_AFTER_S:
        return None
    told = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return f"file:{_short(uri)}:{':'.join(map(str, told))}"


def of_response(uri: str, headers: httpx.Headers) -> str | None:
    """The validator that a response brings; None where it brings no strong tag."""
    return of_tag(uri, headers.get("etag"))


def of_tag(uri: str, entity_tag: str | None) -> str | None:
    """The validator that an entity tag is; None where it is weak, or none."""
    tag = (entity_tag or "").strip()
    strong = len(tag) > 2 and tag[0] == tag[-1] == '"' and len(tag) <= ETAG_LENGTH_MAX
    return f"etag:{_short(uri)}:{tag}" if strong and tag.isprintable() else None


def _short(uri: str) -> str:
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:16]
