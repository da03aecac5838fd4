"""Fetchers that may reach loopback, and what they must refuse."""

import ssl

import pytest

from catalog.failures import FetchFailure
from catalog.fetching.connecting import Resolve, resolve_with_system
from catalog.fetching.fetcher import Fetcher, FetchLimits

PHOTO = bytes(range(256)) * 40
LOOPBACK = ("127.0.0.0/8",)


class Fetchers:
    """Makes fetchers that may reach loopback, and closes them."""

    def __init__(self) -> None:
        self._made: list[Fetcher] = []

    def __call__(
        self,
        *,
        resolve: Resolve = resolve_with_system,
        ssl_context: ssl.SSLContext | None = None,
        allowed_networks: tuple[str, ...] = LOOPBACK,
        bytes_max: int = 100_000,
        total_timeout_s: float = 5.0,
        redirects_max: int = 3,
        connections_per_host_max: int = 4,
        connections_max: int = 8,
        allowed_ports: tuple[str, ...] = ("1-65535",),
        redirects_to_http: bool = False,
    ) -> Fetcher:
        limits = FetchLimits(
            bytes_max=bytes_max,
            total_timeout_s=total_timeout_s,
            connect_timeout_s=2.0,
            redirects_max=redirects_max,
            connections_per_host_max=connections_per_host_max,
            connections_max=connections_max,
            allowed_networks=allowed_networks,
            allowed_ports=allowed_ports,
            redirects_to_http=redirects_to_http,
        )
        fetcher = Fetcher(limits, [], resolve=resolve, ssl_context=ssl_context)
        self._made.append(fetcher)
        return fetcher

    def close(self) -> None:
        for fetcher in self._made:
            fetcher.close()


def refused(fetcher: Fetcher, uri: str) -> FetchFailure:
    with pytest.raises(FetchFailure) as caught:
        fetcher.fetch(uri)
    assert caught.value.detail.endswith(".")
    return caught.value
