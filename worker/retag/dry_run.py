"""Counting what a run would select."""

from datetime import UTC, datetime

from sqlalchemy import Engine

from catalog.settings import Settings
from db.engine import reading
from db.retag.conditions import condition
from db.retag.pages import PAGE_SIZE, next_page
from db.retag.selection import Selection
from worker.retag.starting import with_ids
from worker.serving import serving_manifest


def count_selected(engine: Engine, chosen: Settings, selection: Selection) -> int:
    """How many products the selection holds now, counted page by page."""
    counted, cursor = 0, ""
    with reading(engine)() as session:
        version = serving_manifest(session, chosen).model_version
        selection = with_ids(session, selection)
    wanted = condition(selection, model_version=version, as_of=datetime.now(UTC))
    while True:
        with reading(engine)() as session:
            page = next_page(session, cursor, wanted, limit=PAGE_SIZE)
        if page.looked == 0:
            return counted
        counted, cursor = counted + len(page.product_ids), page.cursor
