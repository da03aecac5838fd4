"""Taking a message from its queue without a moment in which nobody has it.

Kombu pops a message (BRPOP), and later writes it into the record of what is unacknowledged: a
worker that has reserved all it may leaves the popped one unread until it has room again. Whoever
kills it then has lost that message. The ledger makes up for it after TAGGER_LOST_AFTER_S, with
messages that it knows; one of plain Celery would be gone. So here one script moves the message
from its queue into a list of the worker's own, and one transaction from there into the record.
"""

from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport.redis import QoS as RedisQoS
from kombu.transport.virtual import QoS as VirtualQoS
from kombu.utils.json import dumps

from worker.door.transport import DoorAMQP, DoorChannel, DoorConnection, DoorTransport

# KEYS: the lists to look into, the most urgent first, and the worker's own at the end.
TAKE = """
local taken = table.remove(KEYS)
for _, key in ipairs(KEYS) do
  local message = redis.call('RPOP', key)
  if message then
    redis.call('LPUSH', taken, message)
    return {key, message}
  end
end
return false
"""


def taken_key(unacked_key: str) -> str:
    """The list of what a worker has taken and not yet recorded: one message at most, as a rule."""
    return f"{unacked_key}.taken"


class TakingQoS(RedisQoS):  # type: ignore[misc]
    """Records a message in the transaction that removes it from the worker's list."""

    def append(self, message: Any, delivery_tag: str) -> None:
        way = message.delivery_info
        entry = dumps([message._raw, way["exchange"], way["routing_key"]])
        with self.pipe_or_acquire() as pipe:
            pipe.zadd(self.unacked_index_key, {delivery_tag: time()})
            pipe.hset(self.unacked_key, delivery_tag, entry)
            pipe.lpop(taken_key(self.unacked_key))
            pipe.execute()
        VirtualQoS.append(self, message, delivery_tag)


class TakingChannel(DoorChannel):
    """A channel of a worker that has a record of its own; see worker/reserved.py.

    A script cannot wait. So when the lists are empty the channel waits for the next message with
    a BLMOVE that puts it back where it was, and then takes it. Messages of other priorities, which
    have lists of their own, are looked for once a second then, as are those of a second queue.
    """

    QoS = TakingQoS
    _was_empty = _waits = False

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._waits = self._was_empty
        if self._waits:
            seconds = self.brpop_timeout if timeout is None else timeout
            command = ["BLMOVE", queues[0], queues[0], "RIGHT", "RIGHT", seconds]
        else:
            lists = [self._q_for_pri(each, step) for step in self.priority_steps for each in queues]
            lists.append(taken_key(self.unacked_key))
            command = ["EVAL", TAKE, len(lists), *lists]
        self.client.connection.send_command(*command)

    def _brpop_read(self, **options: Any) -> bool:
        if self._waits:
            self._was_empty = False
            self._hear_of_a_message(**options)
            raise Empty
        try:
            taken: bool = super()._brpop_read(**options)
        except Empty:
            self._was_empty = True
            raise
        return taken

    def _hear_of_a_message(self, **options: Any) -> None:
        try:
            self.client.parse_response(self.client.connection, "BLMOVE", **options)
        except self.connection_errors:
            self.client.connection.disconnect()  # so that the next one reconnects
            raise
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()


class TakingTransport(DoorTransport):
    """Kombu's Redis transport with the door in front, over such channels."""

    Channel = TakingChannel


class TakingConnection(DoorConnection):
    """A connection to Redis by this transport, whatever its URL's scheme."""

    def get_transport_cls(self) -> type[TakingTransport]:
        return TakingTransport


class TakingAMQP(DoorAMQP):
    """Celery's messaging over such connections: `Celery(…, amqp=TakingAMQP)`."""

    Connection = TakingConnection
    BrokerConnection = TakingConnection
