"""What catalogs of three sizes need, by multiplication from measured costs."""

import base64
import json
import math
from dataclasses import dataclass

from catalog.jobs import Job
from catalog.settings import Settings

SIZES = {"1M": 1_000_000, "10M": 10_000_000, "100M": 100_000_000}
NIGHT_H = 8.0
# Celery's headers and properties around the body, about.
ENVELOPE_BYTES = 1000
# A name and an address as long as a shop's.
EXAMPLE = Job(
    product_id="sku-0000000000",
    image_uri="https://images.example.com/catalog/2026/sku-0000000000/front-1200x1600.jpg",
)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Measured: items per second of one bulk child; bytes of a product's row, of one tagging and of
    one thumbnail, indexes included.
    """

    items_per_s: float
    product_bytes: float
    tagging_bytes: float
    thumbnail_bytes: float


@dataclass(frozen=True, kw_only=True)
class Need:
    """Of one size. one_child_h: a run over all with one bulk child. children: for one night."""

    size: str
    one_child_h: float
    children: int
    lean_gb: float  # a product, its tagging, no thumbnail
    full_gb: float  # with its thumbnail
    night_gb: float  # what a run over all adds: another tagging and thumbnail each


def needs(costs: Costs) -> list[Need]:
    """For every size; what grows with the catalog grows in proportion."""
    return [
        Need(
            size=size,
            one_child_h=items / costs.items_per_s / 3600,
            children=math.ceil(items / costs.items_per_s / 3600 / NIGHT_H),
            lean_gb=items * (costs.product_bytes + costs.tagging_bytes) / 1e9,
            full_gb=items
            * (costs.product_bytes + costs.tagging_bytes + costs.thumbnail_bytes)
            / 1e9,
            night_gb=items * (costs.tagging_bytes + costs.thumbnail_bytes) / 1e9,
        )
        for size, items in SIZES.items()
    ]


def broker_bytes(chosen: Settings) -> int:
    """The messages that a run keeps waiting at most, whatever the catalog's size."""
    payload = {"jobs": [EXAMPLE.payload()] * chosen.chunk_size}
    body = base64.b64encode(json.dumps([[], payload, {}]).encode())
    return chosen.retag_chunks_max * (len(body) + ENVELOPE_BYTES)


def render(costs: Costs, chosen: Settings) -> str:
    """A table as Markdown."""
    head = ["catalog", "one bulk child", f"children for {NIGHT_H:.0f} h",
            "ledger, no thumbnails", "ledger", "a run over all adds"]  # fmt: skip
    rows = [head, ["---"] * len(head)] + [
        [
            each.size, f"{each.one_child_h:.1f} h", str(each.children), f"{each.lean_gb:.1f} GB",
            f"{each.full_gb:.1f} GB", f"{each.night_gb:.1f} GB",
        ]
        for each in needs(costs)
    ]  # fmt: skip
    lines = [f"| {' | '.join(row)} |" for row in rows]
    broker = (
        f"broker: {broker_bytes(chosen) / 1e6:.1f} MB of waiting messages at most, whatever size"
    )
    return "\n".join([*lines, "", broker])
