"""The server process of the review desk: `tagger review serve`, or `uvicorn review.serve:app`."""

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
from review.photo_source import photo_source
from review.photos import Photos

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def desk(chosen: Settings, fetch: Callable[[str], bytes]) -> Desk:
    """The desk of these settings; the queue is filled with what waited before it existed."""
    engine = make_engine(chosen.database)
    require_newest(engine)
    with sessions(engine).begin() as session:
        review_queue.fill(session)
    limits = DecodeLimits(bytes_max=chosen.image_bytes_max, pixels_max=chosen.image_pixels_max)
    return Desk(
        engine=engine, photos=Photos(fetch, limits), second_share=chosen.second_opinion_share
    )


def app() -> FastAPI:
    """For other servers: `uvicorn --factory review.serve:app`."""
    return application(settings())


def application(chosen: Settings) -> FastAPI:
    """The app of these settings. Off loopback any host name is served: TLS stands in front."""
    hosts = LOOPBACK_NAMES if is_loopback(chosen.review_host) else ("*",)
    return create_app(desk(chosen, photo_source(chosen)), hosts=hosts)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host in LOOPBACK


def bind(chosen: Settings, *, or_any: bool = False) -> socket.socket:
    """Listen at the settings' address; with `or_any`, at a free port if that one is taken.

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
        if or_any and chosen.review_port:
            return bind(chosen.model_copy(update={"review_port": 0}))
        raise OperatorError(
            f"Expected to listen on {chosen.review_host}:{chosen.review_port}, found: "
            f"{error.strerror}. Set {variable('review_port')} to another port."
        ) from error
    return listener


def serve(chosen: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    config = uvicorn.Config(
        application(chosen),
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run(sockets=[listener])


def address(chosen: Settings, listener: socket.socket) -> str:
    """Where a browser finds it."""
    port = listener.getsockname()[1]
    host = f"[{chosen.review_host}]" if ":" in chosen.review_host else chosen.review_host
    return f"http://{host}:{port}/"
