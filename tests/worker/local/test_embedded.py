from pathlib import Path

import pytest

from catalog.settings import read_settings
from worker.broker import BrokerError, celery_url, connect, depths, redis_url
from worker.local.embedded import EmbeddedBroker


def test_queue_survives_a_kill_of_the_broker(tmp_path: Path) -> None:
    folder = tmp_path / "queue with a space"
    broker = EmbeddedBroker(folder)
    connect(broker.url).rpush("ingest", "a message")
    connect(broker.url).execute_command("WAITAOF", 1, 0, 2000)
    broker.process.kill()
    broker.process.wait()
    again = EmbeddedBroker(folder)
    assert depths(connect(again.url), ("ingest", "bulk")) == {"ingest": 1, "bulk": 0}
    again.stop()


def test_broker_refuses_rather_than_forgets(broker: EmbeddedBroker) -> None:
    client = connect(broker.url)
    assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert client.config_get("appendonly") == {"appendonly": "yes"}


def test_broker_listens_on_no_network(broker: EmbeddedBroker) -> None:
    assert connect(broker.url).config_get("port") == {"port": "0"}


def test_folder_with_a_long_path_works_too(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / ("x" * 120) / "queue")
    assert connect(broker.url).ping()
    broker.stop()


def test_other_processes_find_the_broker_while_it_runs(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path)
    with pytest.raises(BrokerError, match="Run `tagger up`, or set REDIS_URL"):
        redis_url(settings)
    broker = EmbeddedBroker(settings.queue_folder)
    assert redis_url(settings) == broker.url
    broker.stop()
    with pytest.raises(BrokerError):
        redis_url(settings)


def test_socket_addresses_are_rewritten_for_celery() -> None:
    assert celery_url("unix:///run/valkey.sock") == "redis+socket:///run/valkey.sock"
    assert celery_url("rediss://broker:6380/1") == "rediss://broker:6380/1"
