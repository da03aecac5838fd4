"""The bundle store: a folder that all workers see, one subfolder for each registered bundle.

A subfolder is named after the sha256 of its manifest, which holds those of all other files: a name
in the registry can therefore only ever mean the same bytes.
"""

import hashlib
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from catalog.bundle import (
    CHECK,
    KERAS_MODEL,
    MANIFEST,
    Bundle,
    BundleError,
    Manifest,
    load_bundle,
)

# What a bundle says of itself; two that differ in nothing else tag alike.
TOLD = ("format", "created_at", "metrics", "training", "data", "libraries", "files", "licences")


class BundleStore:
    """Bundles by their sha256; nothing is ever changed in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, source: Path) -> tuple[str, Bundle]:
        """Copy the bundle in `source` aside, verify the copy, and put it in its place.

        Returns its sha256 and the stored bundle. Of `source` only what the manifest names is
        taken. A bundle that is there already and verifies is left alone.

        Raises:
            BundleError: it does not verify, or the store cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self._folder) as spare:
                aside = Path(spare) / "bundle"
                load_bundle(source).write(aside)
                sha256 = load_bundle(aside).sha256  # what the disk took
                self._place(aside, sha256)
        except OSError as error:
            raise BundleError(
                f"Expected to write the bundle to {self._folder}, but: {error}. Make room, or set "
                "TAGGER_MODELS to a folder that can be written."
            ) from error
        return sha256, self.load(sha256)

    def load(self, sha256: str) -> Bundle:
        """Read and verify a stored bundle.

        Raises:
            BundleError: it is gone, or not what was stored.
        """
        folder = self.path(sha256)
        if not (folder / MANIFEST).is_file():
            raise BundleError(
                f"Expected a bundle in {folder}, found none. Is TAGGER_MODELS the folder of the "
                "registry's bundles? Add it again with `tagger model add`."
            )
        bundle = load_bundle(folder)
        if bundle.sha256 != sha256:
            raise BundleError(
                f"Expected sha256 {sha256} for {folder / MANIFEST}, found {bundle.sha256}. "
                "Remove the folder and add the bundle again with `tagger model add`."
            )
        return bundle

    def path(self, sha256: str) -> Path:
        """Where a bundle is, or would be."""
        return self._folder / sha256

    def _place(self, aside: Path, sha256: str) -> None:
        try:
            self.load(sha256)
        except BundleError:
            spoilt = self.path(sha256)
            if spoilt.exists():
                spoilt.rename(aside.with_name("spoilt"))  # goes with the folder it was made in
            aside.rename(self.path(sha256))


def deciding_sha256(manifest: Manifest) -> str:
    """A sha256 of all that decides a tagging: models, temperatures, rules, labels.

    A bundle whose report was written afterwards behaves as before.
    """
    rules = {name: value for name, value in asdict(manifest).items() if name not in TOLD}
    deciding = [each for each in manifest.used_files if not each.endswith((KERAS_MODEL, CHECK))]
    rules["files"] = {name: manifest.files[name] for name in sorted(deciding)}
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()
