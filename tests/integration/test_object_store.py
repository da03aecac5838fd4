"""Pictures in an object store: real S3 protocol, the worker's own environment, real processes."""

from pathlib import Path

import pytest

from catalog.jobs import Job
from catalog.sample import write_pictures
from catalog.settings import read_settings
from db.engine import make_engine
from lab.pipeline.object_store import object_store
from tests.integration.test_fetching_ahead import rows, wait_until_tagged
from worker.client import EnqueueClient
from worker.local.stack import running

pytestmark = pytest.mark.integration


def test_chunks_and_singles_are_tagged_from_s3_with_the_environments_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [each.path for each in write_pictures(tmp_path / "pictures")][:12]
    chosen = read_settings(home=tmp_path / "home", object_stores=("s3://shop/photos/",))
    with object_store(pictures) as store:
        store.require_keys()
        for name, value in store.environment().items():
            monkeypatch.setenv(name, value)
        with running(chosen) as system:
            engine = make_engine(system.settings.database)
            client = EnqueueClient(engine, broker_url=system.settings.redis_url)
            chunk, singles = (
                [
                    Job(product_id=f"{kind}-{n}", image_uri=f"s3://shop/photos/{each.name}")
                    for n, each in enumerate(pictures)
                ]
                for kind in ("chunk", "single")
            )
            client.enqueue_many(chunk)
            client.enqueue_singles(singles)
            wait_until_tagged(engine, [*chunk, *singles])
            # Its entity tag tells a later run that it is the same.
            validators = {row.image_validator for row in rows(engine, chunk)}
            assert all(each and each.startswith("etag:") for each in validators)
            engine.dispose()
