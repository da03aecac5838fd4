from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.cli import main
from catalog.settings import settings
from db.engine import make_engine, reading
from db.ledger.models import Product
from tests.databases import migrated_sqlite
from worker.broker import connect, depths
from worker.local.embedded import EmbeddedBroker

Invoke = Callable[..., Result]


@pytest.fixture
def tagger(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """`tagger` with a broker and a migrated database."""
    monkeypatch.setenv("REDIS_URL", broker.url)
    engine = migrated_sqlite(settings().database)
    engine.dispose()
    return lambda *arguments, **options: CliRunner().invoke(main, arguments, **options)


def waiting() -> dict[str, int]:
    url = settings().redis_url
    assert url is not None
    return depths(connect(url), ("ingest", "bulk"))


def products() -> dict[str, tuple[str, str | None]]:
    engine = make_engine(settings().database)
    session: Session
    with reading(engine)() as session:
        rows = {
            each.id: (each.image_uri, each.declared_label)
            for each in session.scalars(select(Product))
        }
    engine.dispose()
    return rows


def test_few_files_go_one_by_one_and_folders_keep_their_places(
    tagger: Invoke, tmp_path: Path
) -> None:
    (tmp_path / "shop/shoes").mkdir(parents=True)
    for name in ("shop/shoes/1.jpg", "shop/2.png", "3.jpg"):
        (tmp_path / name).touch()
    result = tagger("enqueue", "shop", "3.jpg")
    assert (result.exit_code, result.output) == (0, "3 accepted, 0 malformed\n")
    assert set(products()) == {"shoes/1.jpg", "2.png", "3.jpg"}
    assert waiting() == {"ingest": 3, "bulk": 0}


@pytest.mark.parametrize(
    "text",
    [
        "product_id,image_uri,declared_label\np1,photos/1.jpg,bag\np2,https://shop.example/2.jpg,\n",
        "declared_label,product_id,image_uri,price\nbag,p1,photos/1.jpg,9\n"
        ",p2,https://shop.example/2.jpg,8\n",
        "p1,photos/1.jpg,bag\np2,https://shop.example/2.jpg\n",
        "\ufeffproduct_id,image_uri,declared_label\r\np1,photos/1.jpg,bag\r\n"
        "p2,https://shop.example/2.jpg,\r\n",
        '{"product_id": "p1", "image_uri": "photos/1.jpg", "declared_label": "bag"}\n\n'
        '{"product_id": "p2", "image_uri": "https://shop.example/2.jpg"}\n',
    ],
)
def test_lists_are_read_as_people_write_them(tagger: Invoke, tmp_path: Path, text: str) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/list.csv").write_text(text, newline="")
    result = tagger("enqueue", "lists/list.csv")
    assert (result.exit_code, result.output) == (0, "2 accepted, 0 malformed\n")
    assert products() == {
        "p1": ((tmp_path / "lists/photos/1.jpg").as_uri(), "bag"),
        "p2": ("https://shop.example/2.jpg", None),
    }


def test_list_from_standard_input(tagger: Invoke, tmp_path: Path) -> None:
    result = tagger("enqueue", "-", input="p1,1.jpg\n")
    assert result.exit_code == 0
    assert products()["p1"][0] == (tmp_path / "1.jpg").as_uri()


def test_malformed_lines_are_named_and_the_others_accepted(tagger: Invoke, tmp_path: Path) -> None:
    lines = ['{"product_id": "p1", "image_uri": "1.jpg"}', "{broken", '{"product_id": 7}', "[1]"]
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    result = tagger("enqueue", "list.jsonl", "missing.jpg")
    assert result.exit_code == 1
    assert result.stdout == "1 accepted, 4 malformed\n"
    complaints = result.stderr.splitlines()
    assert [line.split(":")[0] for line in complaints] == [
        "list.jsonl, line 2",
        "list.jsonl, line 3",
        "list.jsonl, line 4",
        "missing.jpg",
    ]
    assert set(products()) == {"p1"}


def test_folder_that_the_workers_may_not_read_is_refused_at_once(
    tagger: Invoke, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "1.jpg").touch()
    result = tagger("enqueue", str(elsewhere))
    assert result.exit_code == 1
    assert "TAGGER_ALLOWED_ROOTS" in result.stderr
    assert waiting() == {"ingest": 0, "bulk": 0}


def test_many_go_in_chunks_unless_asked_otherwise(tagger: Invoke, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("".join(f"p{n},{n}.jpg\n" for n in range(300)))
    assert tagger("enqueue", "list.csv").exit_code == 0
    assert waiting() == {"ingest": 0, "bulk": 3}
    assert tagger("enqueue", "--singles", "list.csv").exit_code == 0
    assert waiting() == {"ingest": 300, "bulk": 3}


def test_without_a_broker_nothing_is_written_and_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    (tmp_path / "1.jpg").touch()
    result = CliRunner().invoke(main, ["enqueue", "1.jpg"])
    assert result.exit_code == 1
    assert "Run `tagger up`, or set REDIS_URL" in result.output
    assert not (tmp_path / "home/catalog.db").exists()


def test_dead_broker_is_said_and_the_products_are_in_the_ledger(
    tagger: Invoke, broker: EmbeddedBroker, tmp_path: Path
) -> None:
    (tmp_path / "1.jpg").touch()
    broker.stop()
    result = tagger("enqueue", "1.jpg")
    assert result.exit_code == 1
    assert "the broker does not answer" in result.output
    assert set(products()) == {"1.jpg"}
