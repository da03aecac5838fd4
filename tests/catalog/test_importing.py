"""What a command imports is neither walked by the garbage collector nor kept from it later."""

import gc
import sys
from pathlib import Path

import pytest

from catalog.importing import imported


def test_collector_rests_during_an_import_and_works_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import gc\nCOLLECTS = gc.isenabled()\n"
    (tmp_path / "rests_meanwhile.py").write_text(text, encoding="utf-8")
    found = imported("rests_meanwhile")
    assert not found.COLLECTS
    assert gc.isenabled()
    assert imported("rests_meanwhile") is found
    del sys.modules["rests_meanwhile"]
    gc.unfreeze()


def test_collector_works_after_an_import_that_failed() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        imported("no_such_module")
    assert gc.isenabled()
    gc.unfreeze()
