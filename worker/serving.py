"""Which bundle serves, and which may: the one answer for batches, runs, health and commands.

The registry names bundles by sha256. Where nothing was promoted it names none, and the bundle of
the settings serves.
"""

from pathlib import Path

from sqlalchemy.orm import Session

from catalog.bundle import Bundle, BundleError, Manifest, load_bundle, read_manifest
from catalog.bundle_store import BundleStore
from catalog.images.preprocessing import preprocessing_of
from catalog.settings import Settings
from db.registry.bundles import roles


class Bundles:
    """The bundles at hand, by their sha256 in the registry; None: that of the settings."""

    def __init__(self, chosen: Settings) -> None:
        self._of_settings = chosen.bundle
        self._store = BundleStore(chosen.models_folder)

    def folder(self, sha256: str | None) -> Path:
        """Where a bundle is, or should be."""
        return self._of_settings if sha256 is None else self._store.path(sha256)

    def load(self, sha256: str | None) -> Bundle:
        """Read and verify a bundle that is to tag here; its classifier checks its predictions.

        Raises:
            BundleError: it is gone, does not verify, or was made for another preprocessing.
        """
        if sha256 is None:
            return load_serving_bundle(self._of_settings)
        return _made_for_here(self._store.load(sha256))


def serving_manifest(session: Session, chosen: Settings) -> Manifest:
    """The manifest of the bundle that serves now; its files are looked for, not verified.

    Raises:
        BundleError: it is not where it should be.
    """
    folder = Bundles(chosen).folder(roles(session).serving.sha256)
    manifest = read_manifest(folder)
    if missing := [name for name in manifest.used_files if not (folder / name).is_file()]:
        raise BundleError(
            f"Expected {', '.join(missing)} in {folder}, found none. Fetch the bundle again."
        )
    return manifest


def serving_version(session: Session, chosen: Settings) -> str:
    """The version that serves by the registry, whether its files are at hand or not.

    Raises:
        BundleError: it is the settings' bundle, and that is not where it should be.
    """
    return roles(session).serving.version or settings_version(chosen)


def settings_version(chosen: Settings) -> str:
    """The version of the bundle that serves where nothing was promoted.

    Raises:
        BundleError: it is not where it should be.
    """
    return read_manifest(chosen.bundle).model_version


def load_serving_bundle(folder: Path) -> Bundle:
    """The same as `Bundles.load` for any folder.

    Raises:
        BundleError: it does not verify, or was made for another preprocessing.
    """
    return _made_for_here(load_bundle(folder))


def require_same_preprocessing(manifest: Manifest) -> None:
    """Raise BundleError when a network of the bundle expects other steps to its input."""
    for name, network in manifest.networks.items():
        here, there = preprocessing_of(name), network.preprocessing
        if there.name != here.name:
            raise BundleError(
                f"Expected a bundle for the preprocessing {here.name!r}, found {there.name!r} of "
                f"the network {name} in bundle {manifest.model_version}. "
                "Use a bundle made for this version."
            )
        mine = {**here.constants, "decode_px": here.decode_px}
        theirs = {**there.constants, "decode_px": there.decode_px}
        if differing := sorted(
            each for each in {*mine, *theirs} if mine.get(each) != theirs.get(each)
        ):
            raise BundleError(
                f"Expected a bundle for the preprocessing of this version, found other values of "
                f"{', '.join(differing)} for the network {name} in bundle "
                f"{manifest.model_version}. Use a bundle made for this version."
            )


def _made_for_here(bundle: Bundle) -> Bundle:
    require_same_preprocessing(bundle.manifest)
    return bundle
