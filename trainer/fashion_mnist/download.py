"""Fetch Fashion-MNIST where it is not on the machine."""

import hashlib
import sys
import tempfile
import zlib
from pathlib import Path

import httpx

from trainer.fashion_mnist.dataset import (
    CHECKSUMS,
    DEBIAN_FOLDER,
    DatasetError,
    cache_folder,
    missing_files,
)

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
)
FILE_BYTES_MAX = 40_000_000
TIMEOUT_S = 30.0


def find_dataset(data_dir: Path | None = None) -> Path:
    """The folder of the four files: `data_dir`, Debian's package, the cache, or a download.

    Raises:
        DatasetError: a file is missing, or the download failed.
    """
    folders = (DEBIAN_FOLDER, cache_folder()) if data_dir is None else (data_dir,)
    for folder in folders:
        if not missing_files(folder):
            return folder
    if data_dir is not None:
        raise DatasetError(
            f"Expected the four files of Fashion-MNIST in {data_dir}, missing: "
            f"{', '.join(missing_files(data_dir))}. Complete the folder, or leave --data-dir out."
        )
    return download(cache_folder())


def download(folder: Path) -> Path:
    """Fetch what `folder` lacks, verified before it gets its name there.

    Raises:
        DatasetError: no mirror had the file as published.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in missing_files(folder):
        print(f"Downloading {name}.gz", file=sys.stderr)  # noqa: T201
        _fetch_from_any(folder, name)
    return folder


def _fetch_from_any(folder: Path, name: str) -> None:
    complaints = []
    for mirror in MIRRORS:
        try:
            content = _fetch(f"{mirror}/{name}.gz")
            if hashlib.sha256(_unpacked(content)).hexdigest() != CHECKSUMS[name]:
                raise DatasetError("not the file as published")
        except (httpx.HTTPError, DatasetError) as error:
            complaints.append(f"{mirror}: {error}")
            continue
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as aside:
            aside.write(content)
        Path(aside.name).replace(folder / f"{name}.gz")
        return
    raise DatasetError(
        f"Expected to download {name}.gz, but {'; '.join(complaints)}. Install Debian's package "
        "dataset-fashion-mnist, or pass --data-dir with the four files."
    )


def _fetch(url: str) -> bytes:
    with httpx.stream("GET", url, timeout=TIMEOUT_S, follow_redirects=True) as response:
        response.raise_for_status()
        content = b""
        for piece in response.iter_bytes():
            content += piece
            if len(content) > FILE_BYTES_MAX:
                raise DatasetError(f"more than {FILE_BYTES_MAX} bytes")
        return content


def _unpacked(content: bytes) -> bytes:
    try:
        return zlib.decompress(content, wbits=31)
    except zlib.error as error:
        raise DatasetError(f"no gzip file: {error}") from error
