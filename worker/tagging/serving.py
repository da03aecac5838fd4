"""Which bundles may serve."""

from pathlib import Path

from catalog.bundle import Bundle, BundleError, Manifest, load_bundle
from catalog.bundle_store import BundleStore
from catalog.images.model_input import PREPROCESSING
from catalog.images.preprocessing import preprocessing_parameters


def load_serving_bundle(folder: Path) -> Bundle:
    """Read and verify a bundle that is to serve here; its classifier checks its predictions.

    Raises:
        BundleError: it does not verify, or was made for another preprocessing.
    """
    bundle = load_bundle(folder)
    require_same_preprocessing(bundle.manifest)
    return bundle


def load_registered_bundle(store: BundleStore, sha256: str) -> Bundle:
    """The same for a bundle of the registry.

    Raises:
        BundleError: it is gone, does not verify, or was made for another preprocessing.
    """
    bundle = store.load(sha256)
    require_same_preprocessing(bundle.manifest)
    return bundle


def require_same_preprocessing(manifest: Manifest) -> None:
    """Raise BundleError when the bundle expects other photo → model input steps."""
    if manifest.preprocessing != PREPROCESSING:
        raise BundleError(
            f"Expected a bundle for the preprocessing {PREPROCESSING!r}, found "
            f"{manifest.preprocessing!r} in bundle {manifest.model_version}. "
            "Use a bundle made for this version."
        )
    here, there = preprocessing_parameters(), manifest.preprocessing_parameters
    if differing := sorted(name for name in {*here, *there} if here.get(name) != there.get(name)):
        raise BundleError(
            f"Expected a bundle for the preprocessing of this version, found other values of "
            f"{', '.join(differing)} in bundle {manifest.model_version}. "
            "Use a bundle made for this version."
        )
