"""The commands, as a person types them: real processes from start to stop."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from shutil import copytree

import pytest
from PIL import Image

from catalog.bundle import read_manifest
from catalog.settings import SHIPPED_BUNDLE
from tests.integration.battery import BAD_FILES, ODD_FILES

pytestmark = pytest.mark.integration

TAGGER = str(Path(sys.executable).with_name("tagger"))


def tagger(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TAGGER, *arguments], capture_output=True, text=True, timeout=120)


def rows(home: Path) -> dict[str, int]:
    with sqlite3.connect(home / "catalog.db") as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("products", "taggings", "thumbnails", "failures")
        }


def left_behind(home: Path) -> list[str]:
    """Processes that still use the home folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                environ = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            except OSError:
                continue
            if str(home).encode() in environ:
                found.append((process / "comm").read_text().strip())
    return found


def test_demo_shows_its_result_stops_everything_and_adds_nothing_the_second_time(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    first = tagger("demo")
    assert first.returncode == 0, first.stderr
    assert "Products: 600" in first.stdout
    for said in ("Labels", "Flagged for a person", "Accuracy", "items per second", "Contact sheet"):
        assert said in first.stdout
    assert rows(home) == {"products": 600, "taggings": 600, "thumbnails": 600, "failures": 0}
    with Image.open(home / "contact-sheet.png") as sheet:
        assert sheet.width > 1000
    assert tagger("demo").returncode == 0
    assert rows(home) == {"products": 600, "taggings": 600, "thumbnails": 600, "failures": 0}
    assert left_behind(home) == []


def test_demo_tags_a_folder_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name, data in {**ODD_FILES, **BAD_FILES}.items():
        (folder / name).write_bytes(data)
    done = tagger("demo", "--photos", str(folder))
    assert done.returncode == 0, done.stderr
    assert f"Products: {len(ODD_FILES) + len(BAD_FILES)}" in done.stdout
    assert "truncated.jpg: truncated_image: " in done.stdout
    assert rows(tmp_path / "home")["failures"] == len(BAD_FILES)


def test_up_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/odd.jpg").write_bytes(ODD_FILES["rotated.jpg"])
    with subprocess.Popen([TAGGER, "up"], stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        while "Ctrl-C stops" not in up.stdout.readline():
            assert up.poll() is None
        second = tagger("up")
        assert second.returncode == 1
        assert "found a running tagger in it" in second.stderr
        assert tagger("enqueue", "photos").stdout == "1 accepted, 0 malformed\n"
        deadline = time.monotonic() + 60
        status: dict[str, dict[str, int]] = {}
        while not status.get("by_label") and time.monotonic() < deadline:
            status = json.loads(tagger("status", "--json").stdout)
            time.sleep(0.2)
        assert sum(status["by_label"].values()) == 1
        up.send_signal(signal.SIGINT)
        assert up.wait(timeout=60) == 0
    assert left_behind(home) == []


def test_killed_supervisor_takes_its_processes_along(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen([TAGGER, "up"], stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        while "Ctrl-C stops" not in up.stdout.readline():
            assert up.poll() is None
        assert len(left_behind(home)) >= 3
        up.kill()
    deadline = time.monotonic() + 60
    while left_behind(home) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left_behind(home) == []


def test_classify_reads_on_after_a_bad_file(tmp_path: Path) -> None:
    (tmp_path / "good.jpg").write_bytes(ODD_FILES["rotated.jpg"])
    (tmp_path / "bad.jpg").write_bytes(BAD_FILES["text.jpg"])
    done = tagger("classify", "--json", "bad.jpg", "good.jpg", "missing.jpg")
    assert done.returncode == 1
    bad, good, missing = (json.loads(line) for line in done.stdout.splitlines())
    assert (bad["path"], bad["error"]) == ("bad.jpg", "not_an_image")
    assert (missing["path"], missing["error"]) == ("missing.jpg", "not_found")
    assert set(good) == {
        "path", "label", "certain_at", "confidence", "confidences", "network", "flagged", "reasons",
    }  # fmt: skip
    assert good["confidence"] == pytest.approx(max(good["confidences"].values()), abs=1e-5)
    assert sum(good["confidences"].values()) == pytest.approx(1, abs=1e-4)
    table = tagger("classify", "good.jpg")
    assert table.returncode == 0
    assert read_manifest(SHIPPED_BUNDLE).taxonomy.name_of(good["label"]) in table.stdout


def test_altered_bundle_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = copytree(SHIPPED_BUNDLE, tmp_path / "bundle")
    with (bundle / "reduced/model.tflite").open("ab") as model:
        model.write(b"\0")
    monkeypatch.setenv("TAGGER_BUNDLE", str(bundle))
    for command in (("demo",), ("up",), ("classify", "x.jpg")):
        done = tagger(*command)
        assert done.returncode == 1
        assert "Expected sha256" in done.stderr
        assert "Traceback" not in done.stderr
