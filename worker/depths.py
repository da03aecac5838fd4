"""How many messages wait, asked without the Redis library.

Importing that takes a fifth of all that `tagger status` may take, to send two words and read two
numbers.
"""

import socket
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

PATIENCE_S = 5.0


class BrokerSilentError(Exception):
    """The broker did not answer, or not with what was asked."""


def depths_at(url: str, queues: tuple[str, ...]) -> dict[str, int] | None:
    """How many messages wait in each queue, unacknowledged ones not counted.

    None of an address that wants more than a socket, a password and a database's number: the
    library knows what TLS and options are.

    Raises:
        BrokerSilentError: why there is no answer.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "unix") or parts.query or parts.fragment:
        return None
    words = _greeting(url) + [["LLEN", queue] for queue in queues]
    try:
        with _connected(url) as connection, connection.makefile("rb") as answers:
            connection.sendall(b"".join(map(_command, words)))
            found = [_answer(answers) for _ in words]
            return dict(zip(queues, map(int, found[-len(queues) :]), strict=True))
    except (OSError, ValueError) as error:
        raise BrokerSilentError(str(error)) from error


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "redis":
        return socket.create_connection(
            (parts.hostname or "localhost", parts.port or 6379), PATIENCE_S
        )
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(unquote(parts.path))
    except OSError:
        connection.close()
        raise
    return connection


def _greeting(url: str) -> list[list[str]]:
    parts = urlsplit(url)
    words = []
    if parts.password:
        names = [unquote(parts.username)] if parts.username else []
        words.append(["AUTH", *names, unquote(parts.password)])
    number = parts.path.strip("/") if parts.scheme == "redis" else ""
    if number.isdecimal() and int(number):
        words.append(["SELECT", number])
    return words


def _command(words: list[str]) -> bytes:
    """As the protocol writes it: https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    data = [word.encode() for word in words]
    parts = [b"$%d\r\n%s\r\n" % (len(each), each) for each in data]
    return b"*%d\r\n" % len(data) + b"".join(parts)


def _answer(answers: BinaryIO) -> str:
    """A status or a number.

    Raises:
        OSError: an error, or the end.
    """
    line = answers.readline().decode().strip()
    if line[:1] not in ("+", ":"):
        raise OSError(line[1:] or "it closed the connection")
    return line[1:]
