"""The upkeep process's own parts, made at its first task."""

from functools import lru_cache

from catalog.settings import settings
from db.engine import make_engine
from worker.broker import connect, redis_url
from worker.client import EnqueueClient
from worker.reconciler import Reconciler


@lru_cache(maxsize=1)
def reconciler() -> Reconciler:
    """This process's own."""
    chosen = settings()
    url = redis_url(chosen)
    engine = make_engine(chosen.database)
    return Reconciler(engine, EnqueueClient(engine, broker_url=url), connect(url), chosen)
