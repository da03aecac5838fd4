"""Images from folders that the operator named."""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching import validators
from catalog.fetching.validators import Fetched
from catalog.opening import open_below
from catalog.redaction import shown_uri

_READ_SIZE = 1 << 20


class FileSource:
    """Reads regular files under allowed roots, wherever links and `..` may point."""

    def __init__(self, allowed_roots: Sequence[Path], bytes_max: int) -> None:
        self._roots = tuple(allowed_roots)
        self._bytes_max = bytes_max

    def fetch(self, uri: str) -> bytes:
        """The bytes of a file URI or an absolute path.

        Raises:
            FetchFailure: as `fetch_validated` does.
        """
        return self.fetch_validated(uri).data

    def fetch_validated(self, uri: str) -> Fetched:
        """The bytes of a file URI or an absolute path, and what tells that they are the same.

        Raises:
            FetchFailure: invalid_uri, forbidden_path, not_found, too_many_bytes or
                file_unreadable.
        """
        path = parse_path(uri)
        with self._open(path) as descriptor:
            before = validators.of_file(uri, os.fstat(descriptor))
            data = self._read(descriptor, path)
            after = validators.of_file(uri, os.fstat(descriptor))
        return Fetched(data=data, validator=before if before == after else None)

    def validator(self, uri: str) -> str | None:
        """What tells whether the file is still the same, without reading it.

        Raises:
            FetchFailure: as `fetch_validated` does.
        """
        with self._open(parse_path(uri)) as descriptor:
            return validators.of_file(uri, os.fstat(descriptor))

    @contextmanager
    def _open(self, path: Path) -> Iterator[int]:
        descriptor = self._open_as_it_stands(path)
        if descriptor is not None:
            try:
                yield descriptor
            finally:
                os.close(descriptor)
            return
        try:
            root, resolved = self._resolve(path)
            with _opened(root, resolved) as descriptor:
                yield descriptor
        except OSError as error:
            raise _failure(path, error) from error

    def _open_as_it_stands(self, path: Path) -> int | None:
        """Open a path that names its root and has no links below it; None for all others.

        Most are such, and resolving links took more time than reading. Nothing outside can be
        reached: there is no `..`, and no link is followed on the way from the root.
        """
        if ".." in path.parts:
            return None
        for root in self._roots:
            if root.is_absolute() and path.is_relative_to(root):
                try:
                    return open_below(root, path)
                except OSError:
                    return None  # a link, or nothing there: the long way says which
        return None

    def _resolve(self, path: Path) -> tuple[Path, Path]:
        """The root that a path lies under, and the path without links and `..`.

        A path outside is refused before it is looked at: nobody learns what exists there.
        """
        try:
            resolved = path.resolve()
            # Each time anew, as a root may be a link that moves on with every release.
            roots = [root.resolve() for root in self._roots]
        except RuntimeError as error:
            raise OSError(errno.ELOOP, str(error)) from error
        for root in roots:
            if resolved.is_relative_to(root):
                return root, resolved
        raise _forbidden(
            path, "a path outside the allowed roots", "add its folder to TAGGER_ALLOWED_ROOTS"
        )

    def _read(self, descriptor: int, path: Path) -> bytes:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _forbidden(path, "a folder, pipe or device", "give the path of a picture")
        if status.st_size > self._bytes_max:
            raise self._too_many(status.st_size)
        data = bytearray()
        while chunk := os.read(descriptor, _READ_SIZE):
            data += chunk
            # The file may have grown since.
            if len(data) > self._bytes_max:
                raise self._too_many(len(data))
        return bytes(data)

    def _too_many(self, found: int) -> FetchFailure:
        return FetchFailure(
            FailureCode.TOO_MANY_BYTES,
            f"Expected at most {self._bytes_max:,} bytes, found {found:,}. Upload a smaller file.",
        )


def parse_path(uri: str) -> Path:
    """The path of file:///a/b, file://localhost/a/b or /a/b; a bare path is taken literally.

    Raises:
        FetchFailure: invalid_uri.
    """
    path = uri
    if uri[:5].lower() == "file:":
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
            raise _invalid(uri)
        path = os.fsdecode(unquote_to_bytes(parts.path))
    if not path.startswith("/") or "\0" in path:
        raise _invalid(uri)
    return Path(path)


@contextmanager
def _opened(root: Path, resolved: Path) -> Iterator[int]:
    descriptor = open_below(root, resolved)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _failure(path: Path, error: OSError) -> FetchFailure:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return FetchFailure(
            FailureCode.NOT_FOUND,
            f"Expected a file at {path}, found none. Correct the path, or upload the file again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return _forbidden(path, "no permission to read it", "let the worker's user read it")
    if error.errno in (errno.ELOOP, errno.ENXIO):
        return _forbidden(path, f"{error.strerror}", "give the path of a picture")
    if error.errno == errno.ENAMETOOLONG:
        return _invalid(str(path))
    return FetchFailure(
        FailureCode.FILE_UNREADABLE,
        f"Expected to read {path}, found: {error.strerror}. "
        "It is tried again; look at the disk or share if this stays.",
    )


def _forbidden(path: Path, found: str, advice: str) -> FetchFailure:
    return FetchFailure(
        FailureCode.FORBIDDEN_PATH,
        f"Expected a picture under the allowed roots at {path}, found {found}; {advice}.",
    )


def _invalid(uri: str) -> FetchFailure:
    return FetchFailure(
        FailureCode.INVALID_URI,
        f"Expected file:///folder/picture.jpg or an absolute path, found {shown_uri(uri)[:200]!r}. "
        "Correct the URI.",
    )
