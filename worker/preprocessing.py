"""A bundle serves only with the preprocessing it was trained for."""

from catalog.bundle import BundleError, Manifest
from catalog.images.model_input import PREPROCESSING


def require_same_preprocessing(manifest: Manifest) -> None:
    """Raise BundleError when the bundle expects other photo → model input steps."""
    if manifest.preprocessing != PREPROCESSING:
        raise BundleError(
            f"Expected a bundle for the preprocessing {PREPROCESSING!r}, found "
            f"{manifest.preprocessing!r} in bundle {manifest.model_version}. "
            "Use a bundle made for this version."
        )
