"""Which source a URI goes to, and what a fetcher costs before the first one."""

import subprocess
import sys
from pathlib import Path

import pytest

from catalog.failures import FailureCode, FetchFailure
from catalog.fetching.fetcher import Fetcher, FetchLimits


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("ftp://shop.test/a.jpg", FailureCode.UNKNOWN_SCHEME),
        ("gopher://shop.test/", FailureCode.UNKNOWN_SCHEME),
        ("data:image/png;base64,AAAA", FailureCode.UNKNOWN_SCHEME),
        ("javascript:alert(1)", FailureCode.UNKNOWN_SCHEME),
        ("C:\\photos\\a.jpg", FailureCode.UNKNOWN_SCHEME),
        ("photos/a.jpg", FailureCode.INVALID_URI),
        ("./a:b.jpg", FailureCode.INVALID_URI),
        ("//shop.test/a.jpg", FailureCode.FORBIDDEN_PATH),
    ],
)
def test_what_nobody_can_fetch_is_refused_with_what_was_expected(
    uri: str, code: FailureCode, tmp_path: Path
) -> None:
    with pytest.raises(FetchFailure) as caught:
        Fetcher(FetchLimits(), [tmp_path]).fetch(uri)
    assert caught.value.code is code
    assert "xpected" in caught.value.detail


def test_schemes_are_known_in_any_case(tmp_path: Path) -> None:
    fetcher = Fetcher(FetchLimits(), [], resolve=lambda name, port: ["127.0.0.1"])
    for scheme in ("HTTP", "Https"):
        with pytest.raises(FetchFailure) as caught:
            fetcher.fetch(f"{scheme}://shop.test/")
        assert caught.value.code is FailureCode.FORBIDDEN_ADDRESS


def test_an_allowed_network_that_is_none_stops_the_start() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Fetcher(FetchLimits(allowed_networks=("nonsense",)), [])


def test_reading_files_loads_no_object_store_library(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"photo")
    script = (
        "import sys; from pathlib import Path\n"
        "from catalog.fetching.fetcher import Fetcher, FetchLimits\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "Fetcher(FetchLimits(), [folder]).fetch(str(folder / 'a.jpg'))\n"
        "assert not {'obstore', 'celery', 'tensorflow'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
