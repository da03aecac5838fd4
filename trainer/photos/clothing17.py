"""A list for `tagger train photos` in the ten classes of Fashion-MNIST, of the clothing dataset.

`python -m trainer.photos.clothing17 MANIFEST > ten.csv`, where MANIFEST is a CSV file of
github.com/alexeygrigorev/clothing-dataset (CC0 1.0) with the columns path, label and sender.
"""

import csv
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from catalog.taxonomy.reserved import NOT_IN_TAXONOMY

# As Zalando and the shops sort: a polo or an undershirt is a tee or top, a blouse a shirt. Which
# kind of shoe a shoe is, its label does not say. A body is neither here nor there, and left out.
TEN: Mapping[str, str | None] = {
    "Blazer": "coat",
    "Blouse": "shirt",
    "Body": None,
    "Dress": "dress",
    "Hat": NOT_IN_TAXONOMY,
    "Hoodie": "pullover",
    "Longsleeve": "pullover",
    "Outwear": "coat",
    "Pants": "trouser",
    "Polo": "t-shirt-top",
    "Shirt": "shirt",
    "Shoes": "footwear",
    "Shorts": NOT_IN_TAXONOMY,
    "Skirt": NOT_IN_TAXONOMY,
    "T-Shirt": "t-shirt-top",
    "Top": "t-shirt-top",
    "Undershirt": "t-shirt-top",
}


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(manifest: Path) -> None:
    """Print the list."""
    lines = csv.writer(sys.stdout)
    lines.writerow(["path", "label", "sender"])
    with manifest.open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            label = TEN[row["label"]]
            if label is not None:
                lines.writerow([(manifest.parent / row["path"]).resolve(), label, row["sender"]])


if __name__ == "__main__":
    main()
