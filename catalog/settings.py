"""Every setting, read once from the environment (and a .env file where there is one)."""

import re
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from catalog.errors import SettingsError
from catalog.fetching.variants import Variants
from catalog.places import ENV_FILE, HOME, database_in_force, queue_folder
from catalog.service_urls import check_broker_url, check_database_url

# Neither a scheme nor a port, and no `*`, which would let every name in.
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
# Their addresses may hold a password: shown nowhere.
SECRETS = ("redis_url", "database_url")
NEVER = "never"
SHIPPED_BUNDLE = Path(__file__).resolve().parents[1] / "bundles" / "fashion-mnist"


class Settings(BaseSettings):
    """Settings of every process; README has the same table.

    REDIS_URL and DATABASE_URL keep their usual names; every other variable starts with TAGGER_.
    """

    model_config = SettingsConfigDict(
        env_prefix="TAGGER_",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = Field(HOME, description="folder of the embedded state")
    redis_url: str | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL", "redis_url"),
        description="broker; unset: the embedded one of `tagger up`",
        repr=False,
    )
    database_url: str | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "database_url"),
        description="SQL database; unset: SQLite in the home folder",
        repr=False,
    )
    bundle: Path = Field(
        SHIPPED_BUNDLE,
        description="folder of the model bundle that serves until `tagger model promote`",
    )
    models: Path | None = Field(
        None,
        description="folder of the registered bundles, seen by all workers; unset: in the home "
        "folder",
    )
    allowed_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (Path(),), description="folders that file images may come from, separated by `:`"
    )
    allowed_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="private networks that images may be fetched from, separated by `,`"
    )
    allowed_ports: Annotated[tuple[str, ...], NoDecode] = Field(
        ("80", "443"), description="ports of image hosts, or ranges of them, separated by `,`"
    )
    redirects_to_http: bool = Field(
        False, description="follow redirects of image hosts from https to http"
    )
    object_stores: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="such as s3://bucket/folder/: what may be read there, separated by `,`"
    )

    image_variant: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="such as cdn.example.com{path}?width=400: smaller renditions that hosts make, "
        "separated by `,`",
    )

    batch_size: int = Field(64, ge=1, le=1024, description="single jobs in a batch at most")
    flush_interval_s: float = Field(
        0.25, gt=0, le=60, description="a batch waits no longer than this for more jobs"
    )
    chunk_size: int = Field(128, ge=1, le=256, description="jobs in one bulk message")
    ingest_processes: int = Field(2, ge=1, le=64, description="child processes, queue ingest")
    bulk_processes: int = Field(2, ge=1, le=64, description="child processes, queue bulk")
    decode_threads: int = Field(1, ge=1, le=64, description="decoding threads in each child")
    model_threads: int = Field(1, ge=1, le=64, description="LiteRT threads in each child")
    prefetch_multiplier: int | None = Field(
        None, ge=1, description="messages reserved per child; unset: what the batch rule needs"
    )
    visibility_timeout_s: int = Field(
        3600, ge=60, description="the broker re-queues what was not acknowledged for this long"
    )
    batch_time_limit_s: float = Field(
        90.0, ge=2, description="a child that is at one batch for longer is killed"
    )
    attempts_max: int = Field(5, ge=1, description="attempts before a passing failure is final")
    retry_backoff_s: float = Field(
        10.0, gt=0, description="wait before the second attempt; doubles with each, jittered"
    )
    retry_backoff_max_s: float = Field(3600.0, gt=0, description="and grows no longer than this")
    reconcile_interval_s: float = Field(
        15.0, gt=0, description="the reconciler looks for lost and due products this often"
    )
    lost_after_s: float = Field(
        300.0, gt=0, description="published longer ago and not in the queue: published again"
    )
    grace_period_s: int = Field(30, ge=1, description="a stopping worker finishes within this")

    retag_at: str | None = Field(
        None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        description="when the nightly re-tagging run starts, such as 02:00 (UTC); unset: never",
    )
    retag_selection: str = Field(
        "older-model", description="what it selects: see `tagger retag start --help`"
    )
    retag_chunks_max: int = Field(
        32, ge=1, le=10_000, description="bulk messages waiting before a run publishes no more"
    )
    retag_flag_confidence: float = Field(
        0.5, ge=0, le=1, description="a changed label is flagged if the old one was this sure"
    )
    retag_change_share_max: float = Field(
        0.25, ge=0, le=1, description="a run that changes more labels than this share is paused"
    )
    drift_at: str = Field(
        "03:30",
        pattern=rf"^(([01]\d|2[0-3]):[0-5]\d|{NEVER})$",
        description="when a day is compared with the 28 before it (UTC), or `never`",
    )

    image_bytes_max: int = Field(25_000_000, ge=1, description="larger files are refused")
    image_pixels_max: int = Field(50_000_000, ge=1, description="larger pictures are refused")
    image_memory_bytes_max: int = Field(
        300_000_000, ge=50_000_000, description="pictures that take more to decode are refused"
    )
    fetch_timeout_s: float = Field(20.0, gt=0, description="total time to fetch one picture")
    fetch_patience_s: float = Field(
        2.0, gt=0, description="a batch waits so long for a slow host when nothing else comes"
    )
    connect_timeout_s: float = Field(5.0, gt=0, description="time to connect to an image host")
    redirects_max: int = Field(5, ge=0, description="redirects followed, each re-checked")
    connections_max: int = Field(64, ge=1, description="image connections of one child")
    connections_per_host_max: int = Field(
        64, ge=1, description="of these to one host; how many it bears is found out"
    )

    fetched_bytes_max: int = Field(
        100_000_000, ge=1, description="fetched pictures that a child holds until they are decoded"
    )

    thumbnail_size_px: int = Field(
        128, ge=32, le=512, description="edge of the Grad-CAM overlay; from 256 on, enlarged"
    )
    audit_share: float = Field(
        0.01, ge=0, le=1, description="share of accepted items that a person reviews anyway"
    )
    cautious_audit_share: float = Field(
        0.2, ge=0, le=1, description="the same for photos of classes that have not earned trust"
    )
    second_opinion_share: float = Field(
        0.05, ge=0, le=1, description="share of reviewed items that a second person judges blindly"
    )
    review_host: str = Field("127.0.0.1", description="address that the review desk listens on")
    review_port: int = Field(8008, ge=0, le=65535, description="its port; 0 takes any free one")
    review_names: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="host names of the desk behind its proxy with TLS, separated by `,`"
    )
    review_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1", "::1"),
        description="proxies whose forwarded addresses are believed, addresses or networks, "
        "separated by `,`",
    )
    service_requests_per_s: float = Field(
        20.0, gt=0, le=10_000, description="API requests of one service token, on average"
    )
    backlog_max: int = Field(
        500_000, ge=1, description="unfinished products beyond which the API takes no more jobs"
    )
    idempotency_days: float = Field(
        7.0, gt=0, le=365, description="how long the API remembers Idempotency-Keys"
    )
    events_days: int = Field(
        14, ge=1, le=3650, description="days that events are kept for those who read them"
    )
    events_stream: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9:._{}-]{1,48}$",
        description="stream of the broker's Redis that events are copied to; unset: none",
    )

    @field_validator("redis_url")
    @classmethod
    def _check_broker(cls, value: str | None) -> str | None:
        return value if value is None else check_broker_url(value)

    @field_validator("database_url")
    @classmethod
    def _check_database(cls, value: str | None) -> str | None:
        return value if value is None else check_database_url(value)

    @field_validator("allowed_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: Any) -> Any:
        return tuple(filter(None, value.split(":"))) if isinstance(value, str) else value

    @field_validator(
        "allowed_networks",
        "allowed_ports",
        "object_stores",
        "image_variant",
        "review_names",
        "review_proxies",
        mode="before",
    )
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("allowed_networks", "review_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("review_names")
    @classmethod
    def _check_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not HOST_NAME.fullmatch(name):
                raise ValueError(f"expected names such as review.example.com, found {name!r}")
        return tuple(name.lower() for name in value)

    @field_validator("allowed_ports")
    @classmethod
    def _check_ports(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ends = each.split("-")
            ports = [int(end) for end in ends if end.isascii() and end.isdigit()]
            if not 1 <= len(ports) == len(ends) <= 2 or not 1 <= ports[0] <= ports[-1] <= 65535:
                raise ValueError(f"expected ports such as 443 or 8000-8100, found {each!r}")
        return value

    @field_validator("image_variant")
    @classmethod
    def _check_variants(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Variants(value)
        return value

    @field_validator("object_stores")
    @classmethod
    def _check_stores(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for store in value:
            if not store.startswith(("s3://", "gs://", "az://")):
                raise ValueError(f"expected s3://, gs:// or az:// and a bucket, found {store!r}")
        return value

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force."""
        return database_in_force(self.home, self.database_url)

    @property
    def attempt_s_max(self) -> float:
        """An attempt without an outcome that is older than this is dead.

        Well above the time limit: a worker that kills a child at its limit is to say so first.
        """
        return 1.5 * self.batch_time_limit_s + 5

    @property
    def models_folder(self) -> Path:
        """Where the registered bundles are."""
        return (self.models or self.home / "models").absolute()

    @property
    def queue_folder(self) -> Path:
        """Where the embedded broker keeps its append-only file and its socket."""
        return queue_folder(self.home)


def environment(chosen: Settings) -> dict[str, str]:
    """The variables that give another process, started elsewhere, the same settings."""
    return {
        variable(name): _as_text(value)
        for name, value in chosen.model_dump().items()
        if value is not None
    }


def read_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Raises:
        SettingsError: a value is not usable; the message names the variable.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_complaint(problem) for problem in error.errors())) from None


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read at the first call."""
    return read_settings()


def variable(field: str) -> str:
    """The environment variable of a field of Settings."""
    return field.upper() if field in SECRETS else f"TAGGER_{field.upper()}"


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        separator = ":" if value and isinstance(value[0], Path) else ","
        return separator.join(map(_as_text, value))
    return str(value.absolute()) if isinstance(value, Path) else str(value)


def _complaint(problem: Any) -> str:
    place = str(problem["loc"][0]) if problem["loc"] else "?"
    name = place if place.isupper() else variable(place)
    if name.lower() in SECRETS:
        return f"{name}: {problem['msg'].removeprefix('Value error, ')}. Correct or unset it."
    return f"{name}={problem['input']!r}: {problem['msg'].lower()}. Correct or unset it."
