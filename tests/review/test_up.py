"""The review desk inside `tagger up` and `tagger demo --stay`."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.review.conftest import write_photo

pytestmark = pytest.mark.integration
LINK = re.compile(r"(http://127\.0\.0\.1:\d+/)welcome/\S+")
TIMEOUT_S = 90


@contextmanager
def tagger(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that stays, in a folder of its own; stopped as by Ctrl-C."""
    variables = os.environ | {"TAGGER_HOME": str(folder / "home"), "TAGGER_REVIEW_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from catalog.cli import main; main()", *arguments],
        cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0


def link_in(process: subprocess.Popen[str]) -> re.Match[str]:
    """The one-time link, as soon as it is printed."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        found = LINK.search(line)
        if found:
            return found
    raise AssertionError("no link in:\n" + "".join(printed))


def test_up_prints_a_link_that_lets_the_user_in_once(tmp_path: Path) -> None:
    with tagger(tmp_path, "up") as process:
        link = link_in(process)
        with httpx.Client(follow_redirects=True) as client:
            assert client.get(link[0]).status_code == 200  # a preview, which signs nobody in
            assert client.get(f"{link[1]}api/v1/me").status_code == 401
            assert client.post(link[0]).status_code == 200
            assert client.get(f"{link[1]}api/v1/me").json()["role"] == "lead"
        assert httpx.post(link[0]).status_code == 403
        assert httpx.get(f"{link[1]}api/v1/me").status_code == 401


def test_up_starts_a_desk_that_died_again_at_the_same_address(tmp_path: Path) -> None:
    with tagger(tmp_path, "up") as process:
        link = link_in(process)
        time.sleep(10)  # what dies earlier is taken for broken and not started again
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        [desk] = [
            int(each) for each in children
            if "\0review\0" in Path(f"/proc/{each}/cmdline").read_text()
        ]  # fmt: skip
        os.kill(desk, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while True:
            try:
                answer = httpx.get(f"{link[1]}healthz")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert answer.text == "ok"


def test_demo_stays_with_the_desk_open_over_its_own_results(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        write_photo(tmp_path / "photos" / f"{number}.png", 300, 400 + number)
    with tagger(tmp_path, "demo", "--photos", "photos", "--stay") as process:
        link = link_in(process)
        with httpx.Client(follow_redirects=True) as client:
            client.post(link[0])
            items = client.get(f"{link[1]}api/v1/items").json()["items"]
            for item in items:
                assert client.get(f"{link[1]}{item['photo_url'][1:]}").status_code == 200
