"""What 0008 makes of the rows that named labels by what people read."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db.migrate import MIGRATIONS

AT = "'2026-01-01 00:00:00'"
OLDER = f"""
INSERT INTO models (version, labels, manifest, first_used_at)
VALUES ('m1', '["T-shirt/top", "Ankle boot", "Bag"]', '{{}}', {AT});
INSERT INTO products (id, image_uri, reviewed_label, status, queue, attempts, crashes,
    current_tagging_id, created_at, queued_at, updated_at)
VALUES ('p1', 'file:///p1.jpg', 'T-shirt/top', 'reviewed', 'ingest', 0, 0, 1, {AT}, {AT}, {AT}),
    ('p2', 'file:///p2.jpg', 'not_in_taxonomy', 'reviewed', 'ingest', 0, 0, NULL, {AT}, {AT}, {AT});
INSERT INTO taggings (id, product_id, image_sha256, model_version, label, confidence, confidences,
    runner_up, runner_up_confidence, out_of_taxonomy_score, flagged, reasons, tagged_at)
VALUES (1, 'p1', 'a', 'm1', 'Ankle boot', 0.5, '[]', 'T-shirt/top', 0.5, 0, true, '[]', {AT});
INSERT INTO reviewers (id, name, role, created_at) VALUES (1, 'Ada', 'reviewer', {AT});
INSERT INTO reviews (id, request_key, product_id, tagging_id, reviewer_id, action, label,
    machine_label, machine_confidence, model_version, image_sha256, round, channel, step,
    decided_at)
VALUES (1, 'k', 'p1', 1, 1, 'correct', 'T-shirt/top', 'Ankle boot', 0.5, 'm1', 'a', 1, 'api', 'k',
    {AT});
INSERT INTO retag_runs (id, selection, selection_key, state, model_version, requested_by, cursor,
    products, looked, published, labels_before, change_share_max, created_at, paced_done)
VALUES (1, '{{"labels": ["Ankle boot", "Bag"]}}', 'label=Ankle boot,label=Bag', 'finished', 'm1',
    'Ada', '', 1, 1, 1, '{{"Bag": 3}}', 0.5, {AT}, 0)
"""


def test_labels_become_ids_and_names_again(engine: Engine) -> None:
    with engine.begin() as connection:
        move(connection, "0007", down=True)
        for statement in OLDER.split(";"):
            connection.exec_driver_sql(statement)
        move(connection, "head")
        assert row(connection, "label, runner_up FROM taggings") == ("ankle-boot", "t-shirt-top")
        assert row(connection, "label, machine_label FROM reviews") == ("t-shirt-top", "ankle-boot")
        assert row(connection, "reviewed_label FROM products WHERE id = 'p1'") == ("t-shirt-top",)
        assert row(connection, "reviewed_label FROM products WHERE id = 'p2'") == (
            "not_in_taxonomy",
        )
        assert row(connection, "label FROM labels_in_force") == ("t-shirt-top",)
        assert row(connection, "selection_key FROM retag_runs") == ("label=ankle-boot,label=bag",)
        before = row(connection, "CAST(labels_before AS text) FROM retag_runs")
        assert before == ('{"bag": 3}',)
        model = row(connection, "CAST(labels AS text), taxonomy_name FROM models")
        assert model == ('["t-shirt-top", "ankle-boot", "bag"]', "drafted")
        with pytest.raises(DBAPIError, match="append-only"), connection.begin_nested():
            connection.execute(text("UPDATE reviews SET label = 'bag'"))
        move(connection, "0007", down=True)
        assert row(connection, "label, runner_up FROM taggings") == ("Ankle boot", "T-shirt/top")
        assert row(connection, "label, machine_label FROM reviews") == ("T-shirt/top", "Ankle boot")
        with pytest.raises(DBAPIError, match="append-only"), connection.begin_nested():
            connection.execute(text("DELETE FROM reviews"))


def move(connection: Connection, revision: str, *, down: bool = False) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    (command.downgrade if down else command.upgrade)(config, revision)


def row(connection: Connection, what: str) -> tuple[object, ...]:
    return tuple(connection.execute(text(f"SELECT {what}")).one())
