"""Which model a run is for."""

from sqlalchemy.orm import Session

from catalog.bundle import MANIFEST, SERVING_MODEL, BundleError, read_manifest
from catalog.bundle_store import BundleStore
from catalog.settings import Settings
from db.registry.bundles import roles


def serving_version(session: Session, chosen: Settings) -> str:
    """The version of the bundle that serves now, of the registry or of the settings.

    Raises:
        BundleError: it is not where it should be.
    """
    sha256 = roles(session).serving.sha256
    folder = chosen.bundle if sha256 is None else BundleStore(chosen.models_folder).path(sha256)
    manifest = read_manifest(folder)
    if not (folder / SERVING_MODEL).is_file():
        raise BundleError(
            f"Expected {SERVING_MODEL} beside {folder / MANIFEST}, found none. Fetch the bundle "
            "again."
        )
    return manifest.model_version
