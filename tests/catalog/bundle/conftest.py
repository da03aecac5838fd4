from pathlib import Path

import pytest

from catalog.bundle import (
    TAXONOMY,
    write_manifest,
)
from catalog.taxonomy.document import to_json
from tests.catalog.bundle.contents import CHECKED, MODEL, SOURCE, manifest_of
from tests.taxonomies import FASHION_MNIST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle whose models are any bytes: the contract does not look inside."""
    (tmp_path / "reduced").mkdir()
    (tmp_path / MODEL).write_bytes(b"serving")
    (tmp_path / SOURCE).write_bytes(b"keras")
    (tmp_path / CHECKED).write_bytes(b"check")
    (tmp_path / TAXONOMY).write_text(to_json(FASHION_MNIST), encoding="utf-8")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("report")
    write_manifest(tmp_path, manifest_of(tmp_path))
    return tmp_path
