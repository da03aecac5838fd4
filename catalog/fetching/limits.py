"""What fetching one image may cost, and where it may come from."""

from dataclasses import dataclass

from catalog.settings import Settings


@dataclass(frozen=True, kw_only=True)
class FetchLimits:
    """The bounds of one fetcher.

    bytes_max holds for what travels and for what it unpacks to. total_timeout_s covers everything
    from the name look-up to the last byte, over all redirects. allowed_networks are networks such
    as 10.1.0.0/16 whose addresses may be connected to although they are private; object_stores
    are URI prefixes such as s3://shop-photos/ that may be read with the worker's own credentials.
    allowed_ports are single ones and ranges such as 8000-8100. redirects_to_http: whether an https
    URL may redirect to an http one. image_variant: which hosts are asked for smaller renditions.
    """

    bytes_max: int = 25_000_000
    total_timeout_s: float = 20.0
    connect_timeout_s: float = 5.0
    redirects_max: int = 5
    connections_per_host_max: int = 64
    connections_max: int = 64
    allowed_networks: tuple[str, ...] = ()
    object_stores: tuple[str, ...] = ()
    allowed_ports: tuple[str, ...] = ("80", "443")
    redirects_to_http: bool = False
    image_variant: tuple[str, ...] = ()

    def allows_port(self, port: int) -> bool:
        """Whether images may come from this port."""
        ranges = (each.partition("-") for each in self.allowed_ports)
        return any(int(first) <= port <= int(last or first) for first, _, last in ranges)

    @classmethod
    def of(cls, chosen: Settings) -> "FetchLimits":
        """What the operator chose."""
        return cls(
            bytes_max=chosen.image_bytes_max,
            total_timeout_s=chosen.fetch_timeout_s,
            connect_timeout_s=chosen.connect_timeout_s,
            redirects_max=chosen.redirects_max,
            connections_per_host_max=chosen.connections_per_host_max,
            connections_max=chosen.connections_max,
            allowed_networks=chosen.allowed_networks,
            object_stores=chosen.object_stores,
            allowed_ports=chosen.allowed_ports,
            redirects_to_http=chosen.redirects_to_http,
            image_variant=chosen.image_variant,
        )
