"""The sample of real photos of clothes that ships with the project, by taxonomy.

clothing-17: 119 photos of the clothing dataset, CC0 1.0; see sample_data/clothing-17/LICENSE.
"""

import csv
from pathlib import Path

from catalog.errors import OperatorError
from catalog.sample import SamplePicture

SAMPLES = Path(__file__).parent / "sample_data"
LABELS = "labels.csv"


def sampled_taxonomies() -> tuple[str, ...]:
    """The taxonomies of which there is a sample of photos."""
    return tuple(sorted(path.parent.name for path in SAMPLES.glob(f"*/{LABELS}")))


def photo_sample(taxonomy: str) -> list[SamplePicture]:
    """The photos of one taxonomy and what they show.

    Raises:
        OperatorError: there are none.
    """
    if taxonomy not in sampled_taxonomies():
        raise OperatorError(
            f"Expected a taxonomy with a sample of photos ({', '.join(sampled_taxonomies())}), "
            f"found {taxonomy!r}. Tag photos of your own with --photos."
        )
    folder = SAMPLES / taxonomy
    with (folder / LABELS).open(newline="", encoding="utf-8") as stream:
        return [
            SamplePicture(
                product_id=f"{taxonomy}-{row['source_id']}",
                path=folder / row["file"],
                label=row["label"],
            )
            for row in csv.DictReader(stream)
        ]
