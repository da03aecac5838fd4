"""The review desk beside the workers of one machine: a process of its own."""

import getpass
import socket
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

from catalog.settings import Settings, variable
from db.engine import make_engine, sessions
from db.review import reviewers
from db.review.models import CredentialKind, Role
from worker.local.stack import LocalStack

NAME = "review"
LOOPBACK = ("127.0.0.1", "::1", "localhost")
# A second is usual. Beyond, `tagger up` ends with the end of its log rather than wait for ever.
START_TIMEOUT_S = 30.0
POLL_S = 0.05


def start_review_desk(system: LocalStack) -> str:
    """Start it and wait until it answers; what to tell people: its address.

    On loopback the address is a one-time link that signs in the user of this machine, as a lead.
    """
    chosen = system.settings
    port = str(_free_port(chosen))
    system.start_process(NAME, [sys.executable, "-m", "review"], {variable("review_port"): port})
    host = f"[{chosen.review_host}]" if ":" in chosen.review_host else chosen.review_host
    address = f"http://{host}:{port}/"
    if chosen.review_host not in LOOPBACK:
        return f"{address} (let people in with `tagger reviewer add NAME`)"
    _wait(system, address)
    link = _one_time_link(chosen)
    return f"{address}welcome/{link} (works once)" if link else address


def _free_port(chosen: Settings) -> int:
    """The port of the settings, or another one where that is taken."""
    family = socket.AF_INET6 if ":" in chosen.review_host else socket.AF_INET
    for port in (chosen.review_port, 0):
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((chosen.review_host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return chosen.review_port  # the process itself says what is wrong with the address


def _wait(system: LocalStack, address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        system.require_alive()
        try:
            with urllib.request.urlopen(f"{address}healthz", timeout=5):  # noqa: S310 - loopback
                return
        except (urllib.error.URLError, OSError):
            time.sleep(POLL_S)


def _one_time_link(chosen: Settings) -> str | None:
    """A link for the user of this machine; None where a lead has disabled them."""
    name, now = getpass.getuser(), datetime.now(UTC)
    engine = make_engine(chosen.database)
    try:
        with sessions(engine).begin() as session:
            known = {each.name.casefold(): each for each in reviewers.everyone(session)}
            person = known.get(name.casefold()) or reviewers.add(session, name, Role.LEAD, now)
            if person.disabled_at is not None:
                return None
            return reviewers.issue(session, person, CredentialKind.LINK, now)
    finally:
        engine.dispose()
