"""Which model a run is for."""

from sqlalchemy.orm import Session

from catalog.bundle import read_manifest
from catalog.settings import Settings


def serving_version(session: Session, chosen: Settings) -> str:
    """The version of the bundle that serves now.

    Raises:
        BundleError: there is none.
    """
    return read_manifest(chosen.bundle).model_version
