"""How the review desk feels with a long queue: measured in a real browser where there is one."""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, insert

from catalog.bundle import read_manifest
from catalog.errors import OperatorError
from catalog.images.overlay import encode_jpeg
from catalog.networks import NetworkName
from catalog.outcomes import FlagReason
from catalog.sample import SAMPLE
from catalog.settings import SHIPPED_BUNDLE, Settings, environment, read_settings
from catalog.status import ProductStatus
from catalog.taxonomy.document import to_fields
from db import migrate
from db.engine import make_engine, sessions
from db.ledger.models import Model, Product, Tagging, Thumbnail
from db.review import queue as review_queue
from db.review import reviewers
from db.review.models import CredentialKind, Role
from review.serve import address, bind

CHUNK = 5000
PHOTOS = 60
PHOTO_PX = (750, 1000)
THINKING_S = 0.25  # between two keys: faster than anybody reviews
START_TIMEOUT_S = 120
# Items that look alike, and by how much each differs from what they have in common: every decision
# finds others to speak of.
ALIKE, APART, ALIKE_MIN = 20, 0.2, 0.9
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, kw_only=True)
class ReviewFigures:
    """decision_to_next_ms: from the key going down until the next picture is painted (chromium),
    or from the decision being sent until the next photo has arrived (http).

    The others are whole requests: claim takes ten items.
    """

    items: int
    decisions: int
    measured_in: str
    decision_to_next_ms_p50: float
    decision_to_next_ms_p95: float
    decide_ms_p50: float
    decide_ms_p95: float
    claim_ms_p50: float
    list_ms_p50: float
    counts_ms_p50: float
    statistics_ms_p50: float
    fill_s: float

    def as_json(self) -> str:
        return json.dumps(asdict(self))


def measure(items: int, decisions: int) -> ReviewFigures:
    """Make a queue of flagged items, serve it, and work through the beginning of it."""
    with tempfile.TemporaryDirectory(prefix="tagger-bench-") as folder:
        home = Path(folder)
        chosen = read_settings(
            home=home, database_url=None, redis_url=None, allowed_roots=(home,),
            review_host="127.0.0.1", review_port=0,
        )  # fmt: skip
        engine = make_engine(chosen.database)
        migrate.upgrade(engine)
        _flag(engine, items, _photos(home / "photos"))
        started = time.perf_counter()
        with sessions(engine).begin() as session:
            review_queue.fill(session)
        fill_s = time.perf_counter() - started
        link, token = _let_in(engine)
        engine.dispose()
        with serving(chosen) as desk:
            figures = _over_http(desk.url, token, items, decisions, fill_s)
            took = _in_chromium(f"{desk.url}welcome/{link}", decisions)
    if not took:
        return figures
    return replace(
        figures,
        measured_in="chromium",
        decisions=len(took),
        decision_to_next_ms_p50=statistics.median(took),
        decision_to_next_ms_p95=_p95(took),
    )


def render(figures: ReviewFigures) -> str:
    """The figures for people."""
    return "\n".join([
        f"{figures.decision_to_next_ms_p50:.0f} ms from decision to next picture at the median, "
        f"{figures.decision_to_next_ms_p95:.0f} ms at the 95th percentile",
        f"  {figures.decisions} decisions with {figures.items:,} flagged rows, "
        f"measured in {figures.measured_in}",
        f"  decide      {figures.decide_ms_p50:7.1f} ms, p95 {figures.decide_ms_p95:.1f} ms",
        f"  claim ten   {figures.claim_ms_p50:7.1f} ms",
        f"  list fifty  {figures.list_ms_p50:7.1f} ms",
        f"  counts      {figures.counts_ms_p50:7.1f} ms",
        f"  statistics  {figures.statistics_ms_p50:7.1f} ms",
    ])  # fmt: skip


def _photos(folder: Path) -> list[Path]:
    """Some test images as photos of a shop's size."""
    folder.mkdir()
    with np.load(SAMPLE, allow_pickle=False) as sample:
        images = sample["images"][:: len(sample["images"]) // PHOTOS][:PHOTOS]
    paths = []
    for number, image in enumerate(images):
        large = cv2.resize(255 - image, PHOTO_PX, interpolation=cv2.INTER_CUBIC)
        path = folder / f"{number}.jpg"
        path.write_bytes(encode_jpeg(np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2RGB), np.uint8)))
        paths.append(path)
    return paths


def _flag(engine: Engine, count: int, photos: Sequence[Path]) -> None:
    """Flagged rows, as a batch leaves them, straight into the tables."""
    random = np.random.default_rng(0)
    thumbnails = []
    sha256 = [hashlib.sha256(photo.read_bytes()).hexdigest() for photo in photos]
    for photo in photos:
        pixels = cv2.resize(cv2.imread(str(photo)), (128, 128), interpolation=cv2.INTER_AREA)
        thumbnails.append(encode_jpeg(np.asarray(pixels, np.uint8)))
    now = datetime.now(UTC)
    taxonomy = read_manifest(SHIPPED_BUNDLE).taxonomy
    labels = taxonomy.ids
    maps = random.normal(size=(7, 7, len(labels))).astype(np.float16).tobytes()
    with sessions(engine).begin() as session:
        session.execute(
            insert(Model),
            [
                {
                    "version": "bench",
                    "labels": list(labels),
                    "taxonomy": to_fields(taxonomy),
                    "taxonomy_name": taxonomy.name,
                    "taxonomy_version": taxonomy.version,
                    "manifest": {"alike_min": {NetworkName.REDUCED.value: ALIKE_MIN}},
                    "first_used_at": now,
                }
            ],
        )
        for start in range(1, count + 1, CHUNK):
            ids = range(start, min(start + CHUNK, count + 1))
            shares = random.dirichlet(np.full(len(labels), 0.6), len(ids)).round(6)
            whens = [now - timedelta(seconds=count - number) for number in ids]
            session.execute(
                insert(Product),
                [
                    {
                        "id": f"item-{number:07d}",
                        "image_uri": photos[number % len(photos)].as_uri(),
                        "status": ProductStatus.NEEDS_REVIEW,
                        "attempts": 0,
                        "current_tagging_id": number,
                        "created_at": when,
                        "queued_at": when,
                        "updated_at": when,
                    }
                    for number, when in zip(ids, whens, strict=True)
                ],
            )
            session.execute(
                insert(Tagging),
                [
                    _tagging(number, labels, share.tolist(), when, sha256[number % len(photos)])
                    for number, share, when in zip(ids, shares, whens, strict=True)
                ],
            )
            embeddings = _embeddings(random, ids)
            session.execute(
                insert(Thumbnail),
                [
                    {
                        "tagging_id": number,
                        "overlay_jpeg": thumbnails[number % len(thumbnails)],
                        "class_map": maps,
                        "class_map_height": 7,
                        "class_map_width": 7,
                        "embedding": embedding.tobytes(),
                    }
                    for number, embedding in zip(ids, embeddings, strict=True)
                ],
            )


def _embeddings(random: np.random.Generator, ids: range) -> NDArray[np.float16]:
    """float16 (N, 64): each item looks like the others of its twenty, wherever these stand."""
    looks = [np.random.default_rng(number // ALIKE).normal(size=64) for number in ids]
    return np.asarray(looks + APART * random.normal(size=(len(ids), 64)), np.float16)


def _tagging(
    number: int, labels: Sequence[str], shares: list[float], when: datetime, image_sha256: str
) -> dict[str, object]:
    best, second = sorted(range(len(labels)), key=lambda index: -shares[index])[:2]
    return {
        "id": number,
        "product_id": f"item-{number:07d}",
        "image_sha256": image_sha256,
        "model_version": "bench",
        "label": labels[best],
        "confidence": min(1.0, shares[best]),
        "confidences": shares,
        "runner_up": labels[second],
        "runner_up_confidence": shares[second],
        "out_of_taxonomy_score": 0.0,
        "flagged": True,
        "reasons": [FlagReason.LOW_CONFIDENCE.value],
        "tagged_at": when,
    }


def _let_in(engine: Engine) -> tuple[str, str]:
    now = datetime.now(UTC)
    with sessions(engine).begin() as session:
        people = [reviewers.add(session, name, Role.REVIEWER, now) for name in ("Ada", "Ben")]
        return (
            reviewers.issue(session, people[0], CredentialKind.LINK, now),
            reviewers.issue(session, people[1], CredentialKind.TOKEN, now),
        )


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running desk: where it answers, and its process."""

    url: str
    process_id: int


@contextmanager
def serving(chosen: Settings) -> Iterator[Served]:
    """The server in a process of its own, as `tagger up` starts it."""
    with bind(chosen) as probe:
        url = address(chosen, probe)
    port = url.rstrip("/").rpartition(":")[2]
    variables = os.environ | environment(chosen) | {"TAGGER_REVIEW_PORT": port}
    server = subprocess.Popen([sys.executable, "-m", "review"], env=variables, cwd=chosen.home)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            if server.poll() is not None or time.monotonic() > deadline:
                raise OperatorError("Expected the review desk to start; its messages are above.")
            try:
                httpx.get(f"{url}healthz", timeout=5).raise_for_status()
                break
            except httpx.HTTPError:
                time.sleep(0.05)
        yield Served(url=url, process_id=server.pid)
    finally:
        server.terminate()
        server.wait()


def _over_http(url: str, token: str, items: int, decisions: int, fill_s: float) -> ReviewFigures:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        client.get("/api/v1/me").raise_for_status()  # argon2, once
        decide_ms, next_ms, claim_ms = [], [], []
        held: list[dict[str, str]] = []
        for _ in range(decisions):
            if len(held) < 2:
                started = time.perf_counter()
                held = client.post("/api/v1/claims", json={"limit": 10}).json()["items"]
                claim_ms.append(_ms_since(started))
            item = held.pop(0)
            started = time.perf_counter()
            client.post(
                f"/api/v1/items/{item['item']}/decision",
                json={"action": "accept", "key": uuid4().hex},
                headers={"If-Match": item["etag"]},
            ).raise_for_status()
            decide_ms.append(_ms_since(started))
            client.get(held[0]["photo_url"]).raise_for_status()
            next_ms.append(_ms_since(started))
        return ReviewFigures(
            items=items,
            decisions=decisions,
            measured_in="http",
            decision_to_next_ms_p50=statistics.median(next_ms),
            decision_to_next_ms_p95=_p95(next_ms),
            decide_ms_p50=statistics.median(decide_ms),
            decide_ms_p95=_p95(decide_ms),
            claim_ms_p50=statistics.median(claim_ms),
            list_ms_p50=_median_ms(lambda: client.get("/api/v1/items?limit=50")),
            counts_ms_p50=_median_ms(lambda: client.get("/api/v1/counts")),
            statistics_ms_p50=_median_ms(lambda: client.get("/api/v1/statistics")),
            fill_s=fill_s,
        )


def _in_chromium(url: str, decisions: int) -> list[float]:
    """Milliseconds of each decision in a headless Chromium; none where there is none."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        return []
    if executable is None:
        return []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_selector("#desk:not([hidden]) .slide img")
        page.wait_for_load_state("networkidle")
        for number in range(decisions):
            page.keyboard.press("a" if number % 3 else str(number % 10))
            page.wait_for_timeout(THINKING_S * 1000)
        took: list[float] = page.evaluate(
            "performance.getEntriesByName('decision-to-next').map((each) => each.duration)"
        )
        browser.close()
    return took


def _median_ms(ask: Callable[[], httpx.Response], times: int = 5) -> float:
    took = []
    for _ in range(times):
        started = time.perf_counter()
        ask().raise_for_status()
        took.append(_ms_since(started))
    return statistics.median(took)


def _ms_since(started: float) -> float:
    return 1000 * (time.perf_counter() - started)


def _p95(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95))
