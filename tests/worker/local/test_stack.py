"""The supervisor, on processes that do nothing but live and die."""

import sys
from pathlib import Path

import pytest

from catalog.settings import read_settings
from worker.local import stack as module
from worker.local.stack import LocalStack, SystemFailedError

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DIE = [sys.executable, "-c", "print('last words'); raise SystemExit(3)"]


@pytest.fixture
def system(tmp_path: Path) -> LocalStack:
    system = LocalStack(read_settings(home=tmp_path))
    system.logs.mkdir()
    return system


def kill(system: LocalStack, name: str) -> None:
    system.workers[name].kill()
    system.workers[name].wait()


def test_death_just_after_the_first_start_is_the_end(system: LocalStack) -> None:
    system.start_process("broken", DIE, {})
    system.workers["broken"].wait()
    with pytest.raises(SystemFailedError, match=r"exit code 3; the end of .*\n(?s:.*)last words"):
        system.keep_alive()


def test_what_lived_for_a_while_is_started_again_every_time_but_not_at_once(
    system: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EARLY_DEATH_S", 0.0)
    system.start_process("part", SLEEP, {})
    assert system.keep_alive() == []
    monkeypatch.setattr(module, "EARLY_DEATH_S", 60.0)
    kill(system, "part")
    assert system.keep_alive() == []
    monkeypatch.setattr(module, "RESTART_PAUSE_S", 0.0)
    for _ in range(2):
        first = system.workers["part"].pid
        assert system.keep_alive() == ["part"]
        assert system.workers["part"].pid != first
        kill(system, "part")
