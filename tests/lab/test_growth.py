"""Kept ledgers are filled once, and what is measured of them is there."""

import sqlite3
from pathlib import Path

from lab.scale.growth import Growth, Plan, measure, render
from lab.scale.ledgers import FILLING, ledgers

PRODUCTS = 2_000


def looked_at(folder: Path | None = None) -> Growth:
    """Without paces: no worker starts."""
    plan = Plan(sizes=(PRODUCTS,), turns=0, databases=("sqlite",), folder=folder)
    [found] = measure(plan)
    return found


def test_a_kept_ledger_is_filled_once(tmp_path: Path) -> None:
    with ledgers([PRODUCTS], "sqlite", tmp_path) as [first]:
        assert first.fill_s is not None
    with ledgers([PRODUCTS], "sqlite", tmp_path) as [second]:
        assert (second.fill_s, second.url) == (None, first.url)


def test_a_ledger_whose_filling_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / f"growth{PRODUCTS}{FILLING}.db") as half:
        half.execute("CREATE TABLE products (id)")

    with ledgers([PRODUCTS], "sqlite", tmp_path) as [found]:
        assert found.fill_s is not None
    with sqlite3.connect(tmp_path / f"growth{PRODUCTS}.db") as whole:
        assert whole.execute("SELECT count(*) FROM products").fetchone() == (PRODUCTS,)


def test_a_ledger_is_looked_at_again_and_again(tmp_path: Path) -> None:
    looked_at(tmp_path)
    again = looked_at(tmp_path)

    assert again.looks.waiting == PRODUCTS * 2 // 100
    looks = again.looks
    assert min(looks.next_item_ms, looks.plan_ms, *looks.status_command_s) > 0
    assert again.bytes_each["products"] > 300
    assert "kept" in render(again)
