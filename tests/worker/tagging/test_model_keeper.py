"""A child's models follow the registry between batches; what cannot serve never does."""

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from catalog.bundle import read_manifest
from catalog.bundle_store import BundleStore
from catalog.sample import SamplePicture, write_pictures
from catalog.settings import SHIPPED_BUNDLE, Settings, read_settings
from db.engine import reading, sessions
from db.ledger.models import Product, Tagging
from db.registry import bundles as registry
from db.registry.models import Role, ShadowTagging
from db.review.models import ReviewItem
from tests.bundles import OTHER_LABELS, promote, register, variant
from tests.taxonomies import LABELS
from worker.tagging import model_keeper
from worker.tagging.batch_runner import BatchRunner
from worker.tagging.process import make_batch_runner

SHIPPED = read_manifest(SHIPPED_BUNDLE).model_version


class Uncounted:
    """In place of the metrics, whose files stay open as long as their process lives."""

    def batch(self, *_: object) -> None: ...

    def crash(self, *_: object) -> None: ...


def runner_of(chosen: Settings, engine: Engine) -> BatchRunner:
    """Every batch is a heartbeat: nothing in a test waits."""
    return make_batch_runner(chosen, engine=engine, metrics=Uncounted(), heartbeat_s=0.0)


@pytest.fixture
def chosen(tmp_path: Path, database_url: str) -> Settings:
    return read_settings(
        home=tmp_path, database_url=database_url, allowed_roots=(tmp_path,), audit_share=0.0
    )


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[SamplePicture]:
    return iter(write_pictures(tmp_path / "pictures"))


@pytest.fixture
def child(chosen: Settings, engine: Engine) -> BatchRunner:
    return runner_of(chosen, engine)


def tag(
    child: BatchRunner, engine: Engine, pictures: Iterator[SamplePicture], count: int
) -> set[str]:
    """Tag so many new products in one batch; return the models that spoke."""
    batch = [next(pictures) for _ in range(count)]
    child.tag_and_store(
        [{"product_id": each.product_id, "image_uri": each.path.as_uri()} for each in batch],
        [f"m-{each.product_id}" for each in batch],
    )
    ids = [each.product_id for each in batch]
    with reading(engine)() as session:
        spoke = select(Tagging.model_version).join(
            Product, Product.current_tagging_id == Tagging.id
        )
        found = list(session.scalars(spoke.where(Product.id.in_(ids))))
    assert len(found) == count
    return set(found)


def test_without_a_registry_the_settings_bundle_serves(
    child: BatchRunner, engine: Engine, pictures: Iterator[SamplePicture]
) -> None:
    assert tag(child, engine, pictures, 3) == {SHIPPED}


def test_promotion_and_rollback_reach_a_running_child_at_its_next_heartbeat(
    child: BatchRunner,
    chosen: Settings,
    engine: Engine,
    pictures: Iterator[SamplePicture],
    tmp_path: Path,
) -> None:
    tag(child, engine, pictures, 2)
    promote(engine, register(chosen, engine, variant(tmp_path, "b")))
    assert tag(child, engine, pictures, 5) == {"b"}
    with sessions(engine).begin() as session:
        registry.rollback(session, by="test", now=datetime.now(UTC))
    assert tag(child, engine, pictures, 5) == {SHIPPED}


@pytest.mark.parametrize(
    "spoilt", ["reduced/model.tflite", "reduced/check.npz", "manifest.json", None]
)
def test_a_promoted_bundle_that_is_spoilt_is_refused_and_the_old_one_serves_on(
    spoilt: str | None,
    child: BatchRunner,
    chosen: Settings,
    engine: Engine,
    pictures: Iterator[SamplePicture],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = variant(tmp_path, "b")
    sha256 = register(chosen, engine, source)
    stored = BundleStore(chosen.models_folder).path(sha256)
    if spoilt is None:
        shutil.rmtree(stored)
    else:
        (stored / spoilt).write_bytes(b"spoilt")
    promote(engine, sha256)
    assert tag(child, engine, pictures, 3) == {SHIPPED}
    with reading(engine)() as session:
        (refusal,) = registry.refusals(session)
    assert refusal.sha256 == sha256
    assert refusal.worker.startswith("ingest@")
    assert "Expected" in refusal.reason

    # Mended, it serves without a restart and without another promotion.
    register(chosen, engine, source)
    assert tag(child, engine, pictures, 3) == {SHIPPED}
    monkeypatch.setattr(model_keeper, "monotonic", lambda: 1e12)
    assert tag(child, engine, pictures, 3) == {"b"}
    with reading(engine)() as session:
        assert not registry.refusals(session)


def test_a_deleted_bundle_serves_on_from_memory_and_a_new_child_falls_back_and_says_so(
    child: BatchRunner,
    chosen: Settings,
    engine: Engine,
    pictures: Iterator[SamplePicture],
    tmp_path: Path,
) -> None:
    store = BundleStore(chosen.models_folder)
    good, lost = (register(chosen, engine, variant(tmp_path, name)) for name in ("b", "c"))
    promote(engine, good)
    promote(engine, lost)
    tag(child, engine, pictures, 2)
    shutil.rmtree(store.path(lost))
    assert tag(child, engine, pictures, 3) == {"c"}
    assert tag(runner_of(chosen, engine), engine, pictures, 3) == {"b"}
    with reading(engine)() as session:
        assert [each.sha256 for each in registry.refusals(session)] == [lost]
    shutil.rmtree(store.path(good))
    assert tag(runner_of(chosen, engine), engine, pictures, 3) == {SHIPPED}


def test_a_shadow_sees_its_share_and_changes_nothing_that_is_current(
    child: BatchRunner,
    chosen: Settings,
    engine: Engine,
    pictures: Iterator[SamplePicture],
    tmp_path: Path,
) -> None:
    other = register(chosen, engine, variant(tmp_path, "other", labels=OTHER_LABELS))
    with sessions(engine).begin() as session:
        found = registry.find(session, other)
        registry.try_out(session, Role.SHADOW, found, 0.5, by="t", now=datetime.now(UTC))
    for _ in range(4):
        assert tag(child, engine, pictures, 50) == {SHIPPED}
    with reading(engine)() as session:
        rows = session.execute(
            select(ShadowTagging, Tagging).join(
                Tagging, Tagging.product_id == ShadowTagging.product_id
            )
        ).all()
        waiting = set(session.scalars(select(ReviewItem.model_version)))
    assert 70 <= len(rows) <= 130
    for shadow, tagging in rows:
        assert shadow.image_sha256 == tagging.image_sha256
        assert LABELS.index(tagging.label) == OTHER_LABELS.index(shadow.label)
        assert shadow.confidence == pytest.approx(tagging.confidence)
    assert waiting <= {SHIPPED}


def test_a_canary_serves_its_share_and_the_same_products_every_time(
    child: BatchRunner,
    chosen: Settings,
    engine: Engine,
    tmp_path: Path,
) -> None:
    sha256 = register(chosen, engine, variant(tmp_path, "b"))
    with sessions(engine).begin() as session:
        found = registry.find(session, sha256)
        registry.try_out(session, Role.CANARY, found, 0.3, by="t", now=datetime.now(UTC))
    batch = write_pictures(tmp_path / "pictures")[:150]
    payloads = [{"product_id": each.product_id, "image_uri": each.path.as_uri()} for each in batch]
    served = []
    for turn in range(2):
        child.tag_and_store(payloads, [f"m-{turn}-{each.product_id}" for each in batch])
        with reading(engine)() as session:
            current = select(Tagging.product_id, Tagging.model_version)
            served.append(
                dict(
                    session.execute(
                        current.join(Product, Product.current_tagging_id == Tagging.id)
                    ).all()
                )
            )
    assert served[0] == served[1]
    assert 25 <= Counter(served[0].values())["b"] <= 65
    assert len(served[0]) == 150
