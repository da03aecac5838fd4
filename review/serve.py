"""The server process of the review desk: `tagger review serve`, or `uvicorn review.serve:app`."""

import math
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from catalog.errors import OperatorError
from catalog.images.decode import DecodeLimits
from catalog.settings import Settings, settings, variable
from db.engine import make_engine, sessions
from db.migrate import require_newest
from db.review import queue as review_queue
from review.app import LOOPBACK_NAMES, create_app
from review.desk import Desk
from review.limits import Rate, Rates
from review.photo_source import photo_source
from review.photos import Photos

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


def desk(chosen: Settings, fetch: Callable[[str], bytes]) -> Desk:
    """The desk of these settings; the queue is filled with what waited before it existed."""
    engine = make_engine(chosen.database)
    require_newest(engine)
    with sessions(engine).begin() as session:
        review_queue.fill(session)
    limits = DecodeLimits.of(chosen)
    return Desk(
        engine=engine,
        photos=Photos(fetch, limits),
        second_share=chosen.second_opinion_share,
        names=chosen.review_names,
        backlog_max=chosen.backlog_max,
        chunk_size=chosen.chunk_size,
        rates=Rates(services=_of_services(chosen)),
    )


def _of_services(chosen: Settings) -> Rate:
    """Ten seconds' worth may come at once."""
    per_second = chosen.service_requests_per_s
    return Rate(per_second=per_second, burst=max(1, math.ceil(10 * per_second)))


def app() -> FastAPI:
    """For other servers: `uvicorn --factory review.serve:app`."""
    return application(settings())


def application(chosen: Settings) -> FastAPI:
    """The app of these settings."""
    return create_app(desk(chosen, photo_source(chosen)), hosts=hosts(chosen))


def hosts(chosen: Settings) -> tuple[str, ...]:
    """The names it answers to: its own, and this machine's for health checks.

    Without names it answers off loopback to any: whoever set the address knows who can reach it.
    """
    if chosen.review_names or is_loopback(chosen.review_host):
        return (*LOOPBACK_NAMES, *chosen.review_names)
    return ("*",)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in LOOPBACK


def bind(chosen: Settings) -> socket.socket:
    """Listen at the settings' address.

    Raises:
        OperatorError: the port is taken, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in chosen.review_host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((chosen.review_host, chosen.review_port))
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"Expected to listen on {chosen.review_host}:{chosen.review_port}, found: "
            f"{error.strerror}. Set {variable('review_port')} to another port."
        ) from error
    return listener


def configured(chosen: Settings) -> uvicorn.Config:
    """The server: whoever is named a proxy says for whom it asks, and whether by TLS."""
    return uvicorn.Config(
        application(chosen),
        # httptools, where it is installed, loses the body of a request that offers an upgrade, as
        # Java's client does with every first one.
        http="h11",
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
        forwarded_allow_ips=list(chosen.review_proxies),
    )


def serve(chosen: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    uvicorn.Server(configured(chosen)).run(sockets=[listener])


def address(chosen: Settings, listener: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    return _local_address(chosen, listener.getsockname()[1])


def public_address(chosen: Settings) -> str:
    """Where people find it: under its first name behind TLS, else where it listens."""
    name = next(iter(chosen.review_names), None)
    if name is None or is_loopback(name):
        return _local_address(chosen, chosen.review_port)
    return f"https://{name}/"


def _local_address(chosen: Settings, port: int) -> str:
    host = "localhost" if chosen.review_host in ANY_ADDRESS else chosen.review_host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
