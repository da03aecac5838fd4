"""`tagger bench floor`: what a photo costs by the format of its file and by stage, in CPU."""

import hashlib
import io
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
from PIL import Image

from catalog.bundle import load_bundle
from catalog.images.decode import decode
from catalog.images.model_input import glance
from catalog.images.network_input import network_input
from catalog.images.overlay import crop, encode_jpeg, grad_cam, overlay
from catalog.images.preprocessing import DECODE_PX
from catalog.settings import Settings, read_settings
from lab.pipeline.photos import photo_files
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup, predict

# What shops send: quality and compression as the usual tools have them.
FORMATS: Mapping[str, Mapping[str, int]] = {
    "JPEG": {"quality": 90},
    "PNG": {"compress_level": 6},
    "WEBP": {"quality": 80},
    "AVIF": {"quality": 65},
}
STAGES = ("sha256", "decode", "model input", "networks", "overlay")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One format: bytes of a file on average, and by stage milliseconds of CPU for each photo.

    The median of the rounds; least and most: of all stages together.
    """

    format: str
    file_bytes: int
    ms: Mapping[str, float]
    least_ms: float
    most_ms: float

    @property
    def total_ms(self) -> float:
        return sum(self.ms.values())


def measure(count: int, rounds: int) -> Iterator[Cost]:
    """The same photos of 1,000×1,333 px in each format, one thread, in batches of `count`."""
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="tagger-floor-") as folder:
        chosen = read_settings(home=Path(folder), database_url=None, redis_url=None)
        files = [each.read_bytes() for each in photo_files(chosen.home, None, count)]
        classifier = Classifier(load_bundle(chosen.bundle), threads=1)
        for name, options in FORMATS.items():
            data = [_encoded(each, name, options) for each in files]
            _cost_of(data, classifier, chosen)  # warm
            found = [_cost_of(data, classifier, chosen) for _ in range(rounds)]
            totals = [sum(each.values()) for each in found]
            yield Cost(
                format=name,
                file_bytes=sum(map(len, data)) // len(data),
                ms={stage: statistics.median(each[stage] for each in found) for stage in STAGES},
                least_ms=min(totals),
                most_ms=max(totals),
            )


def as_json(costs: Sequence[Cost]) -> str:
    """One object a line."""
    return "\n".join(json.dumps(asdict(each) | {"total_ms": each.total_ms}) for each in costs)


def render(costs: Sequence[Cost]) -> str:
    """A table for people."""
    heads = "".join(f"{stage:>13}" for stage in STAGES)
    lines = [f"{'format':<8}{'kB':>6}{heads}{'in all':>9}   least to most (ms of CPU a photo)"]
    for each in costs:
        parts = "".join(f"{each.ms[stage]:>13.2f}" for stage in STAGES)
        spread = f"{each.least_ms:.2f} to {each.most_ms:.2f}"
        size = each.file_bytes / 1000
        lines.append(f"{each.format:<8}{size:>6.0f}{parts}{each.total_ms:>9.2f}   {spread}")
    return "\n".join(lines)


def _encoded(jpeg: bytes, name: str, options: Mapping[str, int]) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(jpeg)).save(file, name, **options)
    return file.getvalue()


def _cost_of(data: Sequence[bytes], classifier: Classifier, chosen: Settings) -> dict[str, float]:
    """By stage, of one round: as the worker does it (worker/tagging/looking.py)."""
    spent: dict[str, float] = defaultdict(float)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        started = time.process_time()
        yield
        spent[stage] += 1000 * (time.process_time() - started) / len(data)

    lineup = Lineup(serving=classifier)
    judges, inputs, views = [], [], []
    for each in data:
        with timed("sha256"):
            hashlib.sha256(each).hexdigest()
        with timed("decode"):
            pixels = decode(each, size_px_min=DECODE_PX).pixels
        with timed("model input"):
            seen = glance(pixels)
            judges.append(lineup.judge_of("", kind=seen.kind))
            inputs.append({kind: network_input(pixels, kind, seen) for kind in judges[-1].kinds})
        with timed("overlay"):
            square = inputs[-1][judges[-1].kind].square
            views.append(crop(pixels, square, chosen.thumbnail_size_px))
    with timed("networks"):
        found = predict(judges, inputs)
    with timed("overlay"):
        for view, said in zip(views, found, strict=True):
            assert said is not None
            best = int(said.confidences.argmax())
            encode_jpeg(overlay(view, grad_cam(said.class_map[:, :, best])))
    return spent
