"""Reads the files of a bundle: inside its folder, each one once, and those bytes are what counts.

The manifest is data from outside. What it names is read through here and nowhere else, so that no
bundle can make a worker open another file, and no file can change between its check and its use.
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from catalog.errors import OperatorError
from catalog.opening import open_below

# All files of a bundle together; the shipped one has 5 MB. They are held in memory while it is
# loaded, so one beyond this is refused rather than let push a worker out of its memory.
BUNDLE_BYTES_MAX = 256 * 1024 * 1024
_READ_SIZE = 1 << 20


class BundleError(OperatorError):
    """A bundle that must not serve: says what was expected, what was found, what to do."""


def read_verified(folder: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """The bytes of the listed files, by their names; `files` has the sha256 of each.

    Raises:
        BundleError: one is outside the folder, missing, no regular file or altered, or all
            together are larger than BUNDLE_BYTES_MAX.
    """
    contents: dict[str, bytes] = {}
    left = BUNDLE_BYTES_MAX
    for name, expected in files.items():
        contents[name] = read_inside(folder, name, bytes_max=left)
        left -= len(contents[name])
        found = hashlib.sha256(contents[name]).hexdigest()
        if found != expected:
            raise BundleError(
                f"Expected sha256 {expected} for {folder / name}, found {found}. "
                "Fetch the bundle again."
            )
    return contents


def read_inside(folder: Path, name: str, *, bytes_max: int = BUNDLE_BYTES_MAX) -> bytes:
    """The bytes of one file of a bundle.

    Raises:
        BundleError: it lies outside the folder, is missing, no regular file or too large.
    """
    require_inside(folder, name)
    try:
        root = folder.resolve()
        resolved = (root / name).resolve()
        if not resolved.is_relative_to(root):
            raise _outside(folder, name)
        descriptor = open_below(root, resolved)
        try:
            return _read(descriptor, folder / name, bytes_max)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(
            f"Expected the file {folder / name}, found none. Fetch the bundle again."
        ) from None
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise BundleError(
            f"Expected to read {folder / name}, found: {error}. Let the worker's user read it, or "
            "fetch the bundle again."
        ) from error


def require_inside(folder: Path, name: str) -> None:
    """Raise BundleError unless `name` is a plain path below the folder, spelt in the one way."""
    plain = PurePosixPath(name)
    one_way = str(plain) == name and "\0" not in name
    if plain.is_absolute() or not plain.parts or ".." in plain.parts or not one_way:
        raise _outside(folder, name)


def _outside(folder: Path, name: str) -> BundleError:
    return BundleError(f"Expected files inside {folder}, found {name!r}. Do not use this bundle.")


def _read(descriptor: int, path: Path, bytes_max: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise BundleError(
            f"Expected a file at {path}, found a folder, pipe or device. Do not use this bundle."
        )
    data = bytearray()
    while chunk := os.read(descriptor, _READ_SIZE):
        data += chunk
        if len(data) > bytes_max:
            raise BundleError(
                f"Expected at most {BUNDLE_BYTES_MAX:,} bytes in all files of a bundle, found more "
                f"at {path}. Do not use this bundle."
            )
    return bytes(data)
