"""When each product's tagging became visible to another connection, that is: was committed."""

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from sqlalchemy import Engine, select

from db.engine import reading
from db.ledger.models import Product

IDS_PER_QUERY = 500


class Watcher(threading.Thread):
    """Looks for new taggings until it is stopped; seen_at: Unix seconds by product id.

    Each is seen `every_s` after its commit at most.
    """

    def __init__(self, engine: Engine, *, every_s: float, since_ever: bool = False) -> None:
        super().__init__(name="watcher", daemon=True)
        self.seen_at: dict[str, float] = {}
        self._engine = engine.execution_options(read_only=True)
        self._every_s = every_s
        self._since_ever = since_ever
        self._stopped = threading.Event()
        # Two workers commit their ids out of order: below the mark none is missing.
        self._mark = 0
        self._above: set[int] = set()

    def __enter__(self) -> "Watcher":
        if not self._since_ever:
            self._pass_over_old()
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped.set()
        self.join()

    def wait(self, product_ids: Sequence[str], timeout_s: float) -> bool:
        """Wait until all have been seen; False where that took too long."""
        deadline = time.monotonic() + timeout_s
        for product_id in product_ids:
            while product_id not in self.seen_at:
                if time.monotonic() > deadline:
                    return False
                time.sleep(self._every_s / 2)
        return True

    def run(self) -> None:
        while not self._stopped.wait(self._every_s):
            self._look()

    def _pass_over_old(self) -> None:
        with self._engine.connect() as connection:
            self._mark = connection.exec_driver_sql("SELECT max(id) FROM taggings").scalar() or 0

    def _look(self) -> None:
        # The driver itself: looking must not cost what is being measured.
        with self._engine.connect() as connection:
            found = connection.exec_driver_sql(
                f"SELECT id, product_id FROM taggings WHERE id > {self._mark}"  # noqa: S608
            ).all()
        now = time.time()
        for tagging_id, product_id in found:
            if tagging_id not in self._above:
                self._above.add(tagging_id)
                self.seen_at[product_id] = now
        while self._mark + 1 in self._above:
            self._mark += 1
            self._above.discard(self._mark)


def queued_at(engine: Engine, product_ids: Sequence[str]) -> dict[str, float]:
    """When each product was accepted: Unix seconds by product id."""
    found: dict[str, float] = {}
    with reading(engine)() as session:
        for start in range(0, len(product_ids), IDS_PER_QUERY):
            some = product_ids[start : start + IDS_PER_QUERY]
            rows = session.execute(
                select(Product.id, Product.queued_at).where(Product.id.in_(some))
            )
            found |= {product_id: at.timestamp() for product_id, at in rows}
    return found
