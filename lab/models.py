"""What trying out a second model costs, and how fast a promotion and a rollback take effect."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from sqlalchemy import Engine, select

from catalog.bundle import read_manifest, write_manifest
from catalog.bundle_store import BundleStore, deciding_sha256
from catalog.jobs import Job
from catalog.settings import Settings, read_settings
from db import migrate
from db.engine import make_engine, reading, sessions
from db.ledger.models import Product, Tagging
from db.ledger.results import unfinished
from db.registry import bundles as registry
from db.registry.models import Role
from lab.serving import BATCH, generate_photos, tag_directly
from worker.client import EnqueueClient
from worker.commands.tables import table
from worker.local.stack import running
from worker.serving import load_serving_bundle
from worker.tagging.batch_runner import BatchRunner
from worker.tagging.classifier import Classifier
from worker.tagging.process import make_batch_runner

CANDIDATE = "candidate"
POLL_S = 0.05
SWITCH_S_MAX = 60.0
# mode: (role of the candidate, its share)
MODES: dict[str, tuple[Role, float] | None] = {
    "alone": None,
    "shadow on 10 %": (Role.SHADOW, 0.1),
    "shadow on 100 %": (Role.SHADOW, 1.0),
    "canary on 10 %": (Role.CANARY, 0.1),
}


@dataclass(frozen=True, kw_only=True)
class ModelFigures:
    """ms_per_photo: by mode, all of a child's work, SQLite included; the median of the rounds.

    load_ms: verify and load a bundle, with its check predictions. promotion_s, rollback_s: from the
    command's commit until a running worker's taggings are the other model's.
    """

    photos: int
    ms_per_photo: dict[str, float]
    load_ms: float
    promotion_s: float
    rollback_s: float

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(count: int) -> ModelFigures:
    """Tag `count` generated photos in every mode, by turns, and switch models in a real worker."""
    with tempfile.TemporaryDirectory(prefix="tagger-models-") as name:
        folder = Path(name)
        photos = generate_photos(folder / "photos", min(count, 4 * BATCH))
        times = _by_turns(folder, photos, rounds=max(1, count // BATCH))
        load_ms = _load_ms(folder)
        promotion_s, rollback_s = _switch(folder, photos)
    return ModelFigures(
        photos=count,
        ms_per_photo=times,
        load_ms=load_ms,
        promotion_s=promotion_s,
        rollback_s=rollback_s,
    )


def render(result: ModelFigures) -> str:
    """The figures as text."""
    alone = result.ms_per_photo["alone"]
    rows = [("", "ms per photo", "over alone")] + [
        (mode, f"{each:.2f}", f"{100 * (each / alone - 1):+.1f} %")
        for mode, each in result.ms_per_photo.items()
    ]
    return "\n".join(
        (
            table(rows, right=frozenset({1, 2})),
            f"a bundle is verified and loaded in {result.load_ms:.0f} ms",
            f"a promotion takes effect after {result.promotion_s:.1f} s, "
            f"a rollback after {result.rollback_s:.1f} s",
        )
    )


def _by_turns(folder: Path, photos: Sequence[Job], rounds: int) -> dict[str, float]:
    """Each mode has a child and a database of its own, and tags a batch in turn."""
    children = {mode: _child(folder / mode.replace(" ", "-"), folder, mode) for mode in MODES}
    spent: dict[str, list[float]] = {mode: [] for mode in MODES}
    for number in range(-1, rounds):
        for mode, child in children.items():
            start = (number * BATCH) % len(photos)
            batch = _renamed(photos[start : start + BATCH], f"{number}-")
            started = time.perf_counter()
            tag_directly(child, batch)
            if number >= 0:  # the round before warms up
                spent[mode].append((time.perf_counter() - started) / len(batch))
    return {mode: 1000 * median(times) for mode, times in spent.items()}


def _child(home: Path, root: Path, mode: str) -> BatchRunner:
    chosen = read_settings(home=home, allowed_roots=(root,), database_url=None, redis_url=None)
    with _migrated(chosen) as engine:
        trial = MODES[mode]
        if trial:
            bundle = _register_candidate(chosen, engine)
            with sessions(engine).begin() as session:
                row = registry.find(session, bundle)
                role, share = trial
                registry.try_out(session, role, row, share, by="bench", now=datetime.now(UTC))
    return make_batch_runner(chosen)


def _register_candidate(chosen: Settings, engine: Engine) -> str:
    """The serving bundle under another name: a second network of the same size."""
    copy = chosen.home / CANDIDATE
    shutil.copytree(chosen.bundle, copy)
    write_manifest(copy, replace(read_manifest(copy), model_version=CANDIDATE))
    sha256, bundle = BundleStore(chosen.models_folder).add(copy)
    now, manifest = datetime.now(UTC), bundle.manifest
    with sessions(engine).begin() as session:
        registry.register(session, sha256, manifest, deciding_sha256(manifest), by="bench", now=now)
    return sha256


def _load_ms(folder: Path) -> float:
    store = BundleStore(folder / "shadow-on-10-%" / "models")
    sha256 = next(store.path("x").parent.glob("[0-9a-f]*")).name
    times = []
    for _ in range(5):
        started = time.perf_counter()
        Classifier(load_serving_bundle(store.path(sha256)))
        times.append(1000 * (time.perf_counter() - started))
    return median(times)


def _switch(folder: Path, photos: Sequence[Job]) -> tuple[float, float]:
    home = folder / "running"
    chosen = read_settings(home=home, allowed_roots=(folder,), database_url=None, redis_url=None)
    with running(chosen) as system:
        engine = make_engine(system.settings.database)
        client = EnqueueClient(engine, broker_url=system.settings.redis_url)
        serving = read_manifest(chosen.bundle).model_version
        _until(client, engine, photos, serving, "first")
        sha256 = _register_candidate(chosen, engine)
        with sessions(engine).begin() as session:
            row = registry.find(session, sha256)
            registry.promote(session, row, by="bench", now=datetime.now(UTC))
        promotion_s = _until(client, engine, photos, CANDIDATE, "promoted")
        with sessions(engine).begin() as session:
            registry.rollback(session, by="bench", now=datetime.now(UTC))
        rollback_s = _until(client, engine, photos, serving, "back")
        engine.dispose()
    return promotion_s, rollback_s


def _until(
    client: EnqueueClient, engine: Engine, photos: Sequence[Job], version: str, name: str
) -> float:
    """Send four products at a time until this model tags them; the seconds that took."""
    started = time.perf_counter()
    for number in range(10_000):
        batch = _renamed(photos[:4], f"{name}-{number}-")
        ids = [job.product_id for job in batch]
        client.enqueue_singles(batch)
        while _waits(engine, ids):
            if time.perf_counter() > started + SWITCH_S_MAX:
                raise TimeoutError(f"{version} did not serve within {SWITCH_S_MAX:.0f} s")
            time.sleep(POLL_S)
        if _models_of(engine, ids) == {version}:
            break
    return time.perf_counter() - started


def _waits(engine: Engine, ids: Sequence[str]) -> bool:
    with reading(engine)() as session:
        return bool(unfinished(session, ids))


def _models_of(engine: Engine, ids: Sequence[str]) -> set[str]:
    current = select(Tagging.model_version).join(Product, Product.current_tagging_id == Tagging.id)
    with reading(engine)() as session:
        return set(session.scalars(current.where(Product.id.in_(ids))))


def _renamed(jobs: Sequence[Job], prefix: str) -> list[Job]:
    return [job.model_copy(update={"product_id": f"{prefix}{job.product_id}"}) for job in jobs]


@contextmanager
def _migrated(chosen: Settings) -> Iterator[Engine]:
    engine = make_engine(chosen.database)
    migrate.upgrade(engine)
    yield engine
    engine.dispose()
