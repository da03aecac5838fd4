"""A shop's own taxonomy, larger than there are digits: fifty categories under nine parents."""

from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.outcomes import FlagReason
from catalog.taxonomy.model import Category, Taxonomy
from db.ledger.recording import record_model
from db.review.models import ReviewItem
from tests.factories import flagged, manifest, record

PARENTS = {
    "Tops": "T-shirt, Tank top, Polo, Blouse, Shirt, Crop top, Bodysuit",
    "Knitwear": "Pullover, Cardigan, Sweatshirt, Hoodie, Turtleneck",
    "Outerwear": "Coat, Jacket, Parka, Blazer, Vest, Rain coat",
    "Bottoms": "Trousers, Jeans, Shorts, Leggings, Joggers, Skirt",
    "Dresses": "Day dress, Evening dress, Jumpsuit, Dungarees",
    "Footwear": "Sneaker, Sandal, Ankle boot, Boot, Loafer, Pump, Slipper, Espadrille",
    "Bags": "Backpack, Handbag, Tote, Clutch",
    "Accessories": "Belt, Scarf, Cap, Beanie, Gloves, Sunglasses",
    "Beach": "Bikini, Swimsuit, Swim trunks, Kimono",
}
ALIASES = {"day-dress": ("frock",), "sneaker": ("trainer", "gym shoe"), "beanie": ("Mütze",)}
VERSION = "wardrobe-1"


def _id(name: str) -> str:
    return name.lower().replace(" ", "-")


LEAVES = [(parent, name) for parent, names in PARENTS.items() for name in names.split(", ")]
WARDROBE = Taxonomy(
    name="wardrobe",
    version=1,
    categories=(
        *(Category(id=f"all-{_id(parent)}", name=parent) for parent in PARENTS),
        *(
            Category(
                id=_id(name),
                name=name,
                parent=f"all-{_id(parent)}",
                aliases=ALIASES.get(_id(name), ()),
            )
            for parent, name in LEAVES
        ),
    ),
)
LABELS = WARDROBE.ids


def shares(best: list[str]) -> tuple[float, ...]:
    """Confidences in the order of the labels, falling over `best`, least for the rest."""
    found = dict.fromkeys(LABELS, 0.001)
    left = 1 - 0.001 * (len(LABELS) - len(best))
    weights = 0.7 ** np.arange(len(best))
    for label, weight in zip(best, weights / weights.sum(), strict=True):
        found[label] = float(left * weight)
    return tuple(found.values())


def ranking(start: int) -> list[str]:
    """Ten labels from a place of the taxonomy on, as a model might rank them."""
    return [LABELS[(start + 7 * step) % len(LABELS)] for step in range(10)]


def flag_wardrobe(session: Session, count: int, now: datetime) -> list[int]:
    """Flagged products w000, w001, … of a model of fifty categories; number i ranks ranking(i)."""
    record_model(session, manifest(model_version=VERSION, labels=LABELS, taxonomy=WARDROBE), now)
    maps = np.zeros((7, 7, len(LABELS)), np.float16)
    maps[2:5, 2:5] = 5
    outcomes = []
    for number in range(count):
        best = ranking(number)
        confidences = shares(best)
        outcomes.append(
            flagged(
                f"w{number:03d}", label=best[0], runner_up=best[1], model_version=VERSION,
                # Rising, so that they come in this order.
                confidence=0.2 + 0.1 * number / count, runner_up_confidence=0.2,
                confidences=confidences, class_map=maps.tobytes(),
                reasons=(FlagReason.LOW_CONFIDENCE,),
            )
        )  # fmt: skip
    record(session, outcomes, now)
    return list(session.scalars(select(ReviewItem.tagging_id).order_by(ReviewItem.product_id)))
