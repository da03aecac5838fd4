"""Connections to checked addresses only, each operation within the deadline of its fetch."""

import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import httpcore

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.addresses import AddressRules
from catalog.fetching.deadline import call_within, current_deadline

# Host and port → numeric addresses, in the order to try them.
Resolve = Callable[[str, int], Sequence[str]]


def resolve_with_system(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, which also understands 0x7f.1 and the like."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class CheckedBackend(httpcore.NetworkBackend):
    """Resolves a name once, checks every address, and connects to one of just these.

    Checking here and not before the request leaves no time in which a name could change its
    mind (DNS rebinding). TLS goes on verifying the host's name.
    """

    def __init__(self, rules: AddressRules, resolve: Resolve, connect_timeout_s: float) -> None:
        self._rules = rules
        self._resolve = resolve
        self._connect_timeout_s = connect_timeout_s
        self._system = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address that answers.

        Raises:
            FetchFailure: unknown_host, forbidden_address, fetch_timeout or connection_failed.
        """
        addresses = self._lookup(host, port)
        for address in addresses:
            self._check(host, address)
        failures: list[str] = []
        for address in addresses:
            remaining_s = current_deadline().remaining_s(self._connect_timeout_s)
            try:
                stream = self._system.connect_tcp(
                    address, port, remaining_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failures.append(f"{address}: {error}")
                continue
            return BoundedStream(stream)
        raise FetchFailure(
            FailureCode.CONNECTION_FAILED,
            f"Expected a connection to {host} port {port}, found {'; '.join(failures)}. "
            "It is tried again; look at the image host if this stays.",
        )

    def _lookup(self, host: str, port: int) -> Sequence[str]:
        try:
            # getaddrinfo has no timeout; a dead name server would hold a thread for half a minute.
            addresses = call_within(
                current_deadline(), self._connect_timeout_s, lambda: self._resolve(host, port)
            )
        except (socket.gaierror, UnicodeError) as error:
            raise _lookup_failure(host, error) from error
        if not addresses:
            raise _unknown_host(host, "no address")
        return addresses

    def _check(self, host: str, address: str) -> None:
        reason = self._rules.why_forbidden(address)
        if reason is not None:
            raise FetchFailure(
                FailureCode.FORBIDDEN_ADDRESS,
                f"Expected a public address for {host}, found {address}, which is {reason}. "
                "If images may come from there, add its network to TAGGER_ALLOWED_NETWORKS.",
            )


def _lookup_failure(host: str, error: Exception) -> FetchFailure:
    if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
        return FetchFailure(
            FailureCode.CONNECTION_FAILED,
            f"Expected an address for {host}, found a name server that does not answer. "
            "It is tried again; look at the worker's DNS if this stays.",
        )
    return _unknown_host(host, str(error))


def _unknown_host(host: str, found: str) -> FetchFailure:
    return FetchFailure(
        FailureCode.UNKNOWN_HOST,
        f"Expected an address for {host}, found: {found}. Correct the host in the URI.",
    )


class BoundedStream(httpcore.NetworkStream):
    """A stream whose every operation ends by the deadline of the fetch in progress."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, current_deadline().remaining_s(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, current_deadline().remaining_s(timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        remaining_s = current_deadline().remaining_s(timeout)
        try:
            stream = self._stream.start_tls(ssl_context, server_hostname, remaining_s)
        except httpcore.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                raise _untrusted(server_hostname, error.__cause__) from error
            raise
        return BoundedStream(stream)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _untrusted(host: str | None, error: ssl.SSLCertVerificationError) -> FetchFailure:
    return FetchFailure(
        FailureCode.TLS_FAILED,
        f"Expected a certificate for {host} that can be trusted, found: "
        f"{error.verify_message.rstrip('.')}. Renew it, or add its authority to SSL_CERT_FILE.",
    )
