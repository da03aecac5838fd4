"""The queues' depths by a socket, against the real broker and as the library tells them."""

import socket
from pathlib import Path

import pytest

from worker.broker import connect, depths
from worker.depths import BrokerSilentError, depths_at
from worker.local.embedded import EmbeddedBroker

QUEUES = ("ingest", "bulk")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_depths_are_those_that_the_library_tells(broker: EmbeddedBroker) -> None:
    with connect(broker.url) as client:
        client.rpush("ingest", "a", "b", "c")
        client.rpush("bulk", "d")
        assert depths_at(broker.url, QUEUES) == depths(client, QUEUES) == {"ingest": 3, "bulk": 1}


def test_password_and_number_of_the_database_are_sent(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "locked")
    try:
        port = free_port()
        with connect(broker.url) as client:
            client.config_set("port", port)
            client.config_set("requirepass", "S3C:RET/")
        address = f"redis://:S3C%3ARET%2F@127.0.0.1:{port}"
        with connect(f"{address}/2") as client:
            client.rpush("bulk", "a")
        assert depths_at(f"{address}/2", QUEUES) == {"ingest": 0, "bulk": 1}
        assert depths_at(f"{address}/0", QUEUES) == {"ingest": 0, "bulk": 0}
        with pytest.raises(BrokerSilentError, match="NOAUTH"):
            depths_at(f"redis://127.0.0.1:{port}", QUEUES)
        with pytest.raises(BrokerSilentError, match="WRONGPASS") as refused:
            depths_at(f"redis://:S3CRET@127.0.0.1:{port}", QUEUES)
        assert "S3CRET" not in str(refused.value)
    finally:
        broker.process.kill()
        broker.process.wait()


def test_key_of_another_kind_is_no_depth(broker: EmbeddedBroker) -> None:
    with connect(broker.url) as client:
        client.set("bulk", "no list")
    with pytest.raises(BrokerSilentError, match="WRONGTYPE"):
        depths_at(broker.url, QUEUES)


def test_broker_that_is_away_is_told() -> None:
    with pytest.raises(BrokerSilentError, match="refused"):
        depths_at(f"redis://127.0.0.1:{free_port()}/0", QUEUES)
    with pytest.raises(BrokerSilentError, match="No such file"):
        depths_at("unix:///nowhere/valkey.sock", QUEUES)


@pytest.mark.parametrize(
    "url", ["rediss://broker:6380/0", "redis://broker/0?ssl_cert_reqs=none", "unix:///s.sock?db=2"]
)
def test_what_wants_more_than_a_socket_is_left_to_the_library(url: str) -> None:
    assert depths_at(url, QUEUES) is None
