"""What could have been done otherwise, and what it costs: CPU of one thread, in ms an image."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Engine

from catalog.bundle import load_bundle
from catalog.images.decode import decode
from catalog.images.model_input import Square, model_input
from catalog.images.overlay import crop, encode_jpeg, grad_cam, overlay
from catalog.images.preprocessing import DECODE_PX
from catalog.networks import NetworkName
from catalog.settings import Settings, read_settings
from db import migrate
from db.engine import make_engine, sessions
from db.ledger.models import Product
from db.upsert import insert, insert_many
from lab.pipeline.photos import photo_files
from worker.tagging.classifier import Classifier

PHOTOS = 64
ROUNDS = 5
ROWS = 64
Pictures = Sequence[NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One way to do a step; chosen: the one that ships."""

    step: str
    way: str
    ms: float
    chosen: bool = False


def measure(postgres_url: str | None = None) -> Iterator[Trial]:
    """Try everything; SQL on PostgreSQL where a URL is given."""
    cv2.setNumThreads(1)
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tagger-trials-")))
        chosen = read_settings(home=home, database_url=None, redis_url=None)
        files = photo_files(home, None, PHOTOS)
        data = [file.read_bytes() for file in files]
        yield from _decoding(data)
        photos = [decode(each, size_px_min=DECODE_PX).pixels for each in data]
        yield from _reducing(data, photos)
        yield from _classifying(chosen, photos)
        yield from _explaining(photos)
        yield from _storing("SQLite", chosen.database)
        if postgres_url:
            yield from _storing("PostgreSQL", postgres_url)


def render(trials: Sequence[Trial]) -> str:
    """A table for people; what ships is marked."""
    return "\n".join(
        f"{each.step:<20} {each.way:<46} {each.ms:>7.3f}{'  *' if each.chosen else ''}"
        for each in trials
    )


def _decoding(data: Sequence[bytes]) -> Iterator[Trial]:
    sizes = {"whole": 1333, "half": 600, "quarter": DECODE_PX, "eighth": 128}
    for share, size in sizes.items():
        ms = _each(partial(decode, size_px_min=size), data)
        way = f"Pillow, {share} of the edge"
        yield Trial(step="decode", way=way, ms=ms, chosen=size == DECODE_PX)
    arrays = [np.frombuffer(each, np.uint8) for each in data]
    for way, flag in (("quarter, colour", cv2.IMREAD_REDUCED_COLOR_4),
                      ("quarter, grey", cv2.IMREAD_REDUCED_GRAYSCALE_4),
                      ("eighth, colour", cv2.IMREAD_REDUCED_COLOR_8)):  # fmt: skip
        ms = _each(partial(_decode_with_opencv, flag), arrays)
        yield Trial(step="decode", way=f"OpenCV, {way}, no checks", ms=ms)


def _reducing(data: Sequence[bytes], photos: Pictures) -> Iterator[Trial]:
    yield Trial(
        step="model input", way="from a quarter", ms=_each(model_input, photos), chosen=True
    )
    smaller = [decode(each, size_px_min=128).pixels for each in data]
    yield Trial(step="model input", way="from an eighth", ms=_each(model_input, smaller))


def _classifying(chosen: Settings, photos: Pictures) -> Iterator[Trial]:
    bundle = load_bundle(chosen.bundle)
    inputs = np.stack([model_input(photo).pixels for photo in photos] * 4)
    classifier = Classifier(bundle, threads=1).networks[NetworkName.REDUCED]
    for size in (1, 16, 64, 128, 256):
        parts = [inputs[at : at + size] for at in range(0, len(inputs), size)]
        ms = _each(classifier.classify, parts, images=len(inputs))
        yield Trial(step="network", way=f"batches of {size}", ms=ms, chosen=size in (64, 128))
    parts = [inputs[at : at + 64 - at % 7] for at in range(0, len(inputs) - 64, 64)]
    ms = _each(classifier.classify, parts, images=sum(map(len, parts)))
    yield Trial(step="network", way="batches of changing size", ms=ms)
    two = Classifier(bundle, threads=2).networks[NetworkName.REDUCED]
    parts = [inputs[at : at + 64] for at in range(0, len(inputs), 64)]
    # Other threads' CPU is not this thread's: the clock of the process counts them.
    ms = _each(two.classify, parts, images=len(inputs), clock=time.process_time)
    yield Trial(step="network", way="batches of 64, two threads (CPU of both)", ms=ms)
    plain: Any = Interpreter(
        model_content=bundle.parts[NetworkName.REDUCED].serving_model,
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    serve = plain.get_signature_runner("serve")
    ms = _each(lambda part: serve(images=part), parts, images=len(inputs))
    yield Trial(step="network", way="batches of 64, without XNNPACK", ms=ms)


def _explaining(photos: Pictures) -> Iterator[Trial]:
    squares = [(photo, model_input(photo).square) for photo in photos]
    heat = grad_cam(np.random.default_rng(0).random((7, 7)))
    for size in (96, 128, 192):
        ms = _each(partial(_crop, size), squares)
        yield Trial(step="thumbnail", way=f"crop to {size} px", ms=ms, chosen=size == 128)
        views = [_crop(size, each) for each in squares]
        ms = _each(lambda view: overlay(view, heat), views)
        yield Trial(step="thumbnail", way=f"heat map, {size} px", ms=ms, chosen=size == 128)
        laid = [overlay(view, heat) for view in views]
        ms = _each(encode_jpeg, laid)
        kb = sum(len(encode_jpeg(each)) for each in laid) / len(laid) / 1000
        way = f"JPEG, {size} px, {kb:.1f} kB"
        yield Trial(step="thumbnail", way=way, ms=ms, chosen=size == 128)
    laid = [overlay(_crop(128, each), heat) for each in squares]
    options = [cv2.IMWRITE_WEBP_QUALITY, 80]
    ms = _each(lambda each: cv2.imencode(".webp", each, options), laid)
    yield Trial(step="thumbnail", way="WebP, 128 px", ms=ms)
    ms = _each(lambda each: Image.fromarray(each).tobytes("jpeg", "RGB", 80), laid)
    yield Trial(step="thumbnail", way="JPEG by Pillow, 128 px", ms=ms)


def _decode_with_opencv(flag: int, data: NDArray[np.uint8]) -> object:
    return cv2.imdecode(data, flag)


def _crop(size_px: int, seen: tuple[NDArray[np.uint8], Square]) -> NDArray[np.uint8]:
    return crop(*seen, size_px)


def _storing(database: str, url: str) -> Iterator[Trial]:
    engine = make_engine(url)
    migrate.upgrade(engine)
    ways: tuple[tuple[str, Callable[[Any, list[dict[str, Any]]], None], bool], ...] = (
        ("one statement of so many rows", _values, False),
        ("one compiled statement", _compiled, True),
        ("a statement a row", _row_by_row, False),
    )
    for way, write, ships in ways:
        ms = _write(engine, way, write)
        yield Trial(step=f"upsert, {database}", way=way, ms=ms, chosen=ships)
    engine.dispose()


def _write(engine: Engine, way: str, write: Callable[[Any, list[dict[str, Any]]], None]) -> float:
    spent = []
    for number in range(3 * ROUNDS):
        rows = _rows(f"{way}-{number}")
        with sessions(engine).begin() as session:
            started = time.thread_time()
            write(session, rows)
            spent.append(time.thread_time() - started)
    return 1000 * min(spent) / ROWS


def _values(session: Any, rows: list[dict[str, Any]]) -> None:
    session.execute(insert(session, Product).values(rows).on_conflict_do_nothing())


def _compiled(session: Any, rows: list[dict[str, Any]]) -> None:
    statement, parameters = insert_many(session, Product, rows)
    session.execute(statement.on_conflict_do_nothing(), parameters)


def _row_by_row(session: Any, rows: list[dict[str, Any]]) -> None:
    statement = insert(session, Product).on_conflict_do_nothing()
    for row in rows:
        session.execute(statement, row)


def _rows(name: str) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [
        {
            "id": f"{name}-{number}", "image_uri": f"file:///photos/{number:06d}.jpg",
            "declared_label": None, "status": "queued", "created_at": now, "queued_at": now,
            "updated_at": now,
        }
        for number in range(ROWS)
    ]  # fmt: skip


def _each(
    work: Callable[[Any], object],
    pieces: Sequence[Any],
    *,
    images: int | None = None,
    clock: Callable[[], float] = time.thread_time,
) -> float:
    """Milliseconds for each image: the best of some rounds, after one that warms up."""
    spent = []
    for _ in range(ROUNDS + 1):
        started = clock()
        for piece in pieces:
            work(piece)
        spent.append(clock() - started)
    return 1000 * min(spent[1:]) / (images or len(pieces))
