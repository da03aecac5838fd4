"""Ids of acceptances, and of their messages: ours can be told from a sender's own.

Senders of plain Celery name their messages as they like, and may use one name for many: the
product's own id for every picture of it. So the ledger gives each acceptance an id of its own, with
a checksum at its end, and keeps the sender's name in it, to know a message that comes again.
"""

import re
from hashlib import sha256
from uuid import uuid4

ACCEPTED = "accepted-"  # written to the ledger before it was published
SENT = "sent-"  # came as it was, and was accepted when it arrived
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,42}")
_CHECK_LENGTH = 8


def new_message_id(kind: str = ACCEPTED) -> str:
    """An id for one acceptance and for its message; at most 64 characters for short kinds."""
    return _checked(kind + uuid4().hex[:24])


def new_id_of_sent(name: str) -> str:
    """An id for one acceptance of a message that its sender named so; at most 64 characters."""
    return _checked(f"{SENT}{_storable(name)}-{uuid4().hex[:8]}")


def is_ours(message_id: str) -> bool:
    """Whether the ledger made this id."""
    return _checked(message_id[:-_CHECK_LENGTH]) == message_id and message_id.startswith(
        (ACCEPTED, SENT)
    )


def was_sent_as(message_id: str, name: str) -> bool:
    """Whether this is the id of an acceptance of a message that its sender named so."""
    without_random = message_id[: -_CHECK_LENGTH - len("-01234567")]
    return is_ours(message_id) and without_random == SENT + _storable(name)


def _checked(text: str) -> str:
    digest = sha256(text.encode(errors="backslashreplace")).hexdigest()
    return text + digest[:_CHECK_LENGTH]


def _storable(name: str) -> str:
    """The name, or a digest of one that is too long or that no database would take."""
    if _NAME.fullmatch(name):
        return name
    return sha256(name.encode(errors="backslashreplace")).hexdigest()[:42]
