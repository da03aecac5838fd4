"""Alembic's entry: on the connection handed over by db.migrate, or on DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection

from catalog.settings import settings
from db.drift.models import DriftNight
from db.engine import make_engine
from db.events.models import EventRow
from db.ledger.models import Model
from db.registry.models import RegisteredBundle
from db.registry.photo_trust_models import EarnedTrust
from db.retag.models import RetagRun
from db.review.models import Review
from db.services.models import Service
from db.taxonomies.models import MovedLabel
from db.webhooks.models import Webhook

# Each of these modules adds its tables to one metadata.
METADATA = Review.metadata
assert MovedLabel.metadata is METADATA
assert EventRow.metadata is METADATA
assert DriftNight.metadata is METADATA
assert Webhook.metadata is METADATA
assert Model.metadata is METADATA
assert RegisteredBundle.metadata is METADATA
assert RetagRun.metadata is METADATA
assert EarnedTrust.metadata is METADATA
assert Service.metadata is METADATA


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = make_engine(settings().database)
    with engine.begin() as connection:
        run(connection)
    engine.dispose()
