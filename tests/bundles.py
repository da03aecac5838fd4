"""Bundles for tests: the shipped one under other names and rules, and in a registry."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from catalog.bundle import read_manifest, write_manifest
from catalog.bundle_store import BundleStore, deciding_sha256
from catalog.settings import SHIPPED_BUNDLE, Settings
from db.engine import sessions
from db.registry import bundles as registry
from tests.taxonomies import LABELS

# Says something else of every picture, and reproduces its check predictions all the same.
OTHER_LABELS = (*LABELS[1:], LABELS[0])


def variant(folder: Path, version: str, **changes: Any) -> Path:
    """The shipped bundle as another version, in a subfolder of `folder`."""
    target = Path(shutil.copytree(SHIPPED_BUNDLE, folder / version))
    write_manifest(target, replace(read_manifest(target), model_version=version, **changes))
    return target


def register(chosen: Settings, engine: Engine, source: Path) -> str:
    """Add a bundle to store and registry; return its sha256."""
    sha256, bundle = BundleStore(chosen.models_folder).add(source)
    manifest = bundle.manifest
    with sessions(engine).begin() as session:
        registry.register(
            session, sha256, manifest, deciding_sha256(manifest), by="test", now=datetime.now(UTC)
        )
    return sha256


def promote(engine: Engine, sha256: str) -> None:
    """Let a registered bundle serve."""
    with sessions(engine).begin() as session:
        registry.promote(session, registry.find(session, sha256), by="test", now=datetime.now(UTC))
