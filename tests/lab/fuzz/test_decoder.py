"""The fuzz command finds what it is for, and finds none of it in the decoder."""

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.images.decode import decode
from lab.fuzz.corpus import make_corpus, mutate
from lab.fuzz.decoder import fuzz
from lab.fuzz.pool import Finding, Hunt, hunt


def behave(index: int) -> str:
    """A try of which case 3 dies, case 7 hangs and case 11 raises."""
    if index == 3:
        os.abort()
    if index == 7:
        time.sleep(60)
    if index == 11:
        raise ValueError("unforeseen")
    return "fine"


def test_crashes_hangs_and_exceptions_are_seen_and_cost_one_case_each() -> None:
    found = hunt(behave, 40, processes=2, hang_s=0.5)
    assert sorted(found.findings, key=lambda finding: finding.index) == [
        Finding(index=3, kind="crashed", detail="exit code -6"),
        Finding(index=7, kind="hung", detail="no answer for 0.5 s"),
        Finding(index=11, kind="escaped", detail="ValueError: unforeseen"),
    ]
    assert found.outcomes == {"fine": 37, "crashed": 1, "hung": 1, "escaped": 1}


def test_every_file_of_the_corpus_is_sound() -> None:
    corpus = make_corpus()
    formats = {decode(data, size_px_min=128).format for data in corpus}
    assert formats == {"JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "AVIF"}


def test_a_seed_makes_the_same_files_and_another_makes_others() -> None:
    corpus = make_corpus()
    files = [mutate(corpus, 1, index) for index in range(200)]
    assert files == [mutate(corpus, 1, index) for index in range(200)]
    assert files != [mutate(corpus, 2, index) for index in range(200)]
    assert len(set(files)) > 190


def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    done = CliRunner().invoke(fuzz, ["--files", "600", "--processes", "1", "--keep", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "0 crashes, 0 hangs, 0 unforeseen exceptions" in done.output
    assert "decoded" in done.output
    assert list(tmp_path.iterdir()) == []


def test_findings_are_kept_and_fail_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = Finding(index=5, kind="crashed", detail="exit code -11")
    monkeypatch.setattr("lab.fuzz.decoder.hunt", lambda *args, **options: Hunt(findings=[finding]))
    done = CliRunner().invoke(fuzz, ["--seed", "9", "--keep", str(tmp_path)])
    assert done.exit_code == 1
    assert "1 crashes" in done.output
    kept = tmp_path / "crashed-seed9-5.bin"
    assert kept.read_bytes() == mutate(make_corpus(), 9, 5)
