"""Where photos come from: fetched with the same checks, and within the same bounds, as the workers.

The one place where the review desk touches the worker's code beside its client.
"""

from collections.abc import Callable
from dataclasses import fields

from catalog.settings import Settings
from worker.fetching.fetcher import Fetcher
from worker.fetching.limits import FetchLimits

RENAMED = {"bytes_max": "image_bytes_max", "total_timeout_s": "fetch_timeout_s"}


def photo_source(chosen: Settings) -> Callable[[str], bytes]:
    """A function from an image's URI to its bytes; raises ImageFailure."""
    names = {each.name: RENAMED.get(each.name, each.name) for each in fields(FetchLimits)}
    bounds = {
        name: getattr(chosen, setting)
        for name, setting in names.items()
        if hasattr(chosen, setting)
    }
    return Fetcher(FetchLimits(**bounds), chosen.allowed_roots).fetch
