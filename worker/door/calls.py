"""What a message asks for: the parts of it that the tagger looks at, and the jobs in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catalog.queues import TAG_CHUNK

POSITIONS = ("product_id", "image_uri", "declared_label")


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call of a task; all else that a sender wrote around it changes nothing here.

    redelivered: the broker's word that it has handed the message out before. expires: ISO 8601
    with a time zone, where the sender named a time.
    """

    task: str
    message_id: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    priority: int = 0
    redelivered: bool = False
    expires: str | None = None


def payloads(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[object]:
    """The payload of every job in a call, not yet checked; at least one."""
    return _jobs(args, kwargs) if task == TAG_CHUNK else [_job(args, kwargs)]


def _job(args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    """The keyword arguments of the message; positional ones are named in the contract's order."""
    if len(args) > len(POSITIONS):
        return {"args": list(args), **kwargs}
    return dict(zip(POSITIONS, args, strict=False)) | dict(kwargs)


def _jobs(args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[object]:
    """The jobs of a chunk; what is no list of jobs fails as one malformed payload."""
    arguments = dict(zip(("jobs",), args, strict=False)) | dict(kwargs)
    if len(args) > 1 or set(arguments) != {"jobs"}:
        return [{"args": list(args), **kwargs} if args else dict(kwargs)]
    jobs = arguments["jobs"]
    if jobs == []:
        return [{"jobs": []}]  # an empty chunk, too, ends in a row
    return jobs if isinstance(jobs, list) else [jobs]
