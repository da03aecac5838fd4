import json
from pathlib import Path

import pytest

from catalog.bundle import (
    MANIFEST,
    TAXONOMY,
    BundleError,
    checksums,
    load_bundle,
)
from catalog.taxonomy.document import to_json
from tests.catalog.bundle.contents import change
from tests.taxonomies import FASHION_MNIST, taxonomy


def with_taxonomy(folder: Path, text: str) -> None:
    (folder / TAXONOMY).write_text(text, encoding="utf-8")
    change(folder, files=checksums(folder))


def test_a_taxonomy_travels_in_the_bundle(folder: Path) -> None:
    assert load_bundle(folder).manifest.taxonomy == FASHION_MNIST
    said = json.loads((folder / MANIFEST).read_text())["taxonomy"]
    assert said == {"name": "fashion-mnist", "version": 1}


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (("t-shirt-top", "skirt"), "labels \\['skirt'\\], which are no categories"),
        (("bag", "bag"), "2 labels, 1 of them different"),
        (("bag", "tops"), "labels \\['tops'\\]"),
        (("bag",), "1 labels"),
    ],
)
def test_labels_outside_the_taxonomy_are_refused(
    folder: Path, labels: tuple[str, ...], why: str
) -> None:
    change(folder, labels=labels)
    with pytest.raises(BundleError, match=why):
        load_bundle(folder)


def test_a_taxonomy_that_must_not_serve_is_refused_with_a_reason(folder: Path) -> None:
    with_taxonomy(folder, to_json(taxonomy("bag", "bad_image")))
    with pytest.raises(BundleError, match="Expected another id than not_in_taxonomy and bad_image"):
        load_bundle(folder)
    with_taxonomy(folder, "[]")
    with pytest.raises(BundleError, match="Expected a JSON object, found list"):
        load_bundle(folder)


def test_another_taxonomy_than_the_manifest_names_is_refused(folder: Path) -> None:
    change(folder, taxonomy={"name": "fashion-mnist", "version": 2})
    with pytest.raises(BundleError, match="holds fashion-mnist 1"):
        load_bundle(folder)


def test_a_bundle_without_a_taxonomy_is_refused(folder: Path) -> None:
    (folder / TAXONOMY).unlink()
    change(folder, files=checksums(folder))
    with pytest.raises(BundleError, match=r"taxonomy\.json among the files"):
        load_bundle(folder)
