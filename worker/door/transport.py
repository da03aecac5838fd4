"""Where the door hangs: at the one place where a worker takes a message from Redis.

Kombu asks the Redis client for the answer to its BRPOP, decodes it, writes it into the record of
what is unacknowledged and gives it to Celery; each of these steps may fail of a message. The
client's `parse_response` comes before all of them, and is where Kombu itself takes answers apart
(see GlobalKeyPrefixMixin in kombu/transport/redis.py).
"""

from queue import Empty
from typing import Any

import redis
from celery.app.amqp import AMQP
from celery.utils.log import get_logger
from kombu import Connection
from kombu.transport.redis import Channel, Transport

from worker.door.admission import TASKS, admit

logger = get_logger(__name__)


class DoorClient(redis.Redis):
    """A client whose BRPOP, or what is read as one, brings nothing that Celery cannot read."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        answer = super().parse_response(  # type: ignore[no-untyped-call]
            connection, command_name, **options
        )
        if command_name != "BRPOP" or not answer:
            return answer
        key, raw = answer
        # Lists of other priorities than 0 are named queue, separator, priority.
        queue = key.decode().split(Channel.sep, 1)[0]
        return (key, admit(raw, queue)) if queue in TASKS else answer


class DoorChannel(Channel):  # type: ignore[misc]
    """A channel that takes messages through a DoorClient."""

    def _get_client(self) -> type[redis.Redis]:
        super()._get_client()  # checks redis-py's version
        return DoorClient

    def _receive_one(self, client: Any) -> Any:
        """Take a broadcast, such as that of `celery inspect`; one that is none is left out.

        It belongs to no queue and asks for no product, so it owes no row.
        """
        try:
            return super()._receive_one(client)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            logger.warning("Left out a broadcast that cannot be read: %s", type(error).__name__)
            raise Empty from error


class DoorTransport(Transport):  # type: ignore[misc]
    """Kombu's Redis transport with the door in front."""

    Channel = DoorChannel


class DoorConnection(Connection):  # type: ignore[misc]
    """A connection to Redis through the door, whatever its URL's scheme."""

    def get_transport_cls(self) -> type[Transport]:
        return DoorTransport


class DoorAMQP(AMQP):  # type: ignore[misc]
    """Celery's messaging over such connections: `Celery(…, amqp=DoorAMQP)`."""

    Connection = DoorConnection
    BrokerConnection = DoorConnection
