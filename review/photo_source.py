"""Where photos come from: fetched with the same checks and within the same bounds as by workers."""

from collections.abc import Callable
from dataclasses import replace

from catalog.fetching.fetcher import Fetcher
from catalog.fetching.limits import FetchLimits
from catalog.settings import Settings


def photo_source(chosen: Settings) -> Callable[[str], bytes]:
    """A function from an image's URI to its bytes; raises ImageFailure.

    People are shown the picture itself, and no smaller rendition.
    """
    limits = replace(FetchLimits.of(chosen), image_variant=())
    return Fetcher(limits, chosen.allowed_roots).fetch
