"""Where photos come from: fetched with the same checks and within the same bounds as by workers."""

from collections.abc import Callable

from catalog.fetching.fetcher import Fetcher
from catalog.fetching.limits import FetchLimits
from catalog.settings import Settings


def photo_source(chosen: Settings) -> Callable[[str], bytes]:
    """A function from an image's URI to its bytes; raises ImageFailure."""
    return Fetcher(FetchLimits.of(chosen), chosen.allowed_roots).fetch
