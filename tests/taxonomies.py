"""Taxonomies for tests: the shipped one of the ten, and any that a test writes down."""

from collections.abc import Sequence

from catalog.taxonomy.files import shipped
from catalog.taxonomy.model import Category, Replaced, Taxonomy

FASHION_MNIST = shipped("fashion-mnist")
LABELS = FASHION_MNIST.ids


def taxonomy(
    *labels: str,
    version: int = 1,
    name: str = "shop",
    parents: Sequence[tuple[str, Sequence[str]]] = (),
    replaces: Replaced | None = None,
) -> Taxonomy:
    """Categories named after their ids; parents: (id, the labels under it)."""
    above = {label: parent for parent, labels in parents for label in labels}
    categories = [Category(id=parent, name=parent.capitalize()) for parent, _ in parents]
    categories += [
        Category(id=label, name=label.capitalize(), parent=above.get(label)) for label in labels
    ]
    return Taxonomy(name=name, version=version, categories=tuple(categories), replaces=replaces)
