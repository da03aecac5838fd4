"""Where photos come from: fetched with the same checks, and within the same bounds, as the workers.

The one place where the review desk touches the worker's code beside its client.
"""

from collections.abc import Callable

from catalog.settings import Settings
from worker.fetching.fetcher import Fetcher
from worker.fetching.limits import FetchLimits


def photo_source(chosen: Settings) -> Callable[[str], bytes]:
    """A function from an image's URI to its bytes; raises ImageFailure."""
    return Fetcher(FetchLimits.of(chosen), chosen.allowed_roots).fetch
