"""Gives a bundle its check predictions: `python -m trainer.check_predictions FOLDER`.

Needs no TensorFlow. For after a serving model was exported anew.
"""

import json
from pathlib import Path

import click
import numpy as np

from catalog.bundle import CHECK, MANIFEST, SERVING_MODEL, load_bundle, sha256_file
from catalog.check_predictions import clear_cases, write_check
from catalog.networks import NetworkName
from catalog.sample import SAMPLE
from trainer.serving_model import ServingModel

COUNT = 64


def write_check_predictions(folder: Path) -> None:
    """Write those of the serving model in a network's `folder`; no manifest is touched.

    The images are those of the sample that ships: which they are decides nothing.

    Raises:
        BundleError: the model is sure of none of them.
    """
    with np.load(SAMPLE, allow_pickle=False) as sample:
        images = sample["images"][:, :, :, None]
    logits = ServingModel(folder / SERVING_MODEL)(images).logits
    write_check(folder, clear_cases(images, logits, count=COUNT))


def add_check_predictions(folder: Path) -> None:
    """Renew the check predictions of a bundle's 28×28 network.

    Raises:
        BundleError: its other files do not verify; the manifest is as it was.
    """
    path = folder / MANIFEST
    before = path.read_text(encoding="utf-8")
    fields = json.loads(before)
    name = f"{NetworkName.REDUCED}/{CHECK}"
    write_check_predictions(folder / NetworkName.REDUCED)
    files = dict(sorted((fields["files"] | {name: sha256_file(folder / name)}).items()))
    path.write_text(json.dumps(fields | {"files": files}, indent=2) + "\n", encoding="utf-8")
    try:
        load_bundle(folder)
    except BaseException:
        path.write_text(before, encoding="utf-8")
        raise


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(folder: Path) -> None:
    """Renew the check predictions of the bundle in FOLDER."""
    add_check_predictions(folder)
    click.echo(f"{folder}: {CHECK} renewed, it verifies")


if __name__ == "__main__":
    main()
