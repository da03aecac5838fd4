"""Counts are kept by the database itself, in the transactions that change what is counted.

Revision: 0014, after 0013

PostgreSQL counts once a statement, in rows of the backend's own (`shard`), so that no two
transactions wait for each other; SQLite, which has one writer, once a row and in shard 0.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ADD = "ON CONFLICT (kind, name, shard) DO UPDATE SET n = kept_counts.n + excluded.n"
# kind, name and weight of every thing that is counted of `judged`: a tagging and its `weight`.
JUDGED = """
SELECT 'label', label, {weight} FROM judged {group} label
UNION ALL SELECT 'model', model_version, {weight} FROM judged {group} model_version
UNION ALL SELECT 'network', network, {weight} FROM judged {group} network
"""
POSTGRESQL_PRODUCTS = f"""
CREATE FUNCTION count_{{event}}_products() RETURNS trigger LANGUAGE plpgsql
SET enable_seqscan = off AS $$
BEGIN
    INSERT INTO kept_counts (kind, name, shard, n)
    WITH changes AS ({{changes}}),
    moved AS (
        SELECT tagging_id, sum(weight) AS weight FROM changes
        WHERE tagging_id IS NOT NULL GROUP BY tagging_id HAVING sum(weight) <> 0
    ),
    judged AS (
        SELECT label, model_version, network, reasons, weight
        FROM moved JOIN taggings ON taggings.id = moved.tagging_id
    ),
    found (kind, name, n) AS (
        SELECT 'status', status, sum(weight) FROM changes GROUP BY status
        UNION ALL {JUDGED.format(weight="sum(weight)", group="GROUP BY")}
        UNION ALL SELECT 'reason', reason.value, sum(weight)
        FROM judged CROSS JOIN LATERAL json_array_elements_text(reasons) AS reason (value)
        GROUP BY reason.value
    )
    SELECT kind, name, pg_backend_pid(), n FROM found WHERE n <> 0 ORDER BY kind, name
    {ADD};
    RETURN NULL;
END $$
"""  # noqa: S608 - here and below: nothing from outside
POSTGRESQL_FAILURES = f"""
CREATE FUNCTION count_{{event}}_failures() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kept_counts (kind, name, shard, n)
    WITH changes AS ({{changes}})
    SELECT 'failure', reason_code, pg_backend_pid(), sum(weight) FROM changes
    GROUP BY reason_code HAVING sum(weight) <> 0 ORDER BY reason_code
    {ADD};
    RETURN NULL;
END $$
"""  # noqa: S608
POSTGRESQL_TRIGGER = """
CREATE TRIGGER count_{event} AFTER {event} ON {table} REFERENCING {tables}
FOR EACH STATEMENT EXECUTE FUNCTION count_{event}_{table}()
"""
COLUMNS = {"products": "status, current_tagging_id AS tagging_id", "failures": "reason_code"}
NEW, OLD = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
TABLES = {"insert": NEW, "update": f"{OLD} {NEW}", "delete": OLD}


def upgrade() -> None:
    op.create_table(
        "kept_counts",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("n", sa.BigInteger, nullable=False),
    )
    op.execute(_count_all())
    statements = _on_postgresql() if _is_postgresql() else _on_sqlite()
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    for table in COLUMNS:
        if _is_postgresql():
            for event in TABLES:
                op.execute(f"DROP TRIGGER count_{event} ON {table}")
                op.execute(f"DROP FUNCTION count_{event}_{table}()")
        else:
            for event in (*TABLES, "tagging"):
                op.execute(f"DROP TRIGGER IF EXISTS count_{event}_{table}")
    op.drop_table("kept_counts")


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _count_all() -> str:
    if _is_postgresql():
        value, reasons = "reason.value", "json_array_elements_text(reasons) AS reason (value)"
    else:
        value, reasons = "reason.value", "json_each(reasons) AS reason"
    judged = JUDGED.format(weight="count(*)", group="GROUP BY").removeprefix("\n")
    return f"""
    INSERT INTO kept_counts (kind, name, shard, n)
    WITH judged AS (
        SELECT label, model_version, network, reasons
        FROM products JOIN taggings ON taggings.id = products.current_tagging_id
    ),
    found (kind, name, n) AS (
        SELECT 'status', status, count(*) FROM products GROUP BY status
        UNION ALL {judged}
        UNION ALL SELECT 'reason', {value}, count(*) FROM judged CROSS JOIN {reasons}
        GROUP BY {value}
        UNION ALL SELECT 'failure', reason_code, count(*) FROM failures GROUP BY reason_code
    )
    SELECT kind, name, 0, n FROM found
    """  # noqa: S608


def _on_postgresql() -> list[str]:
    found = []
    for table, function in (("products", POSTGRESQL_PRODUCTS), ("failures", POSTGRESQL_FAILURES)):
        added = f"SELECT {COLUMNS[table]}, 1 AS weight FROM new_rows"  # noqa: S608
        gone = f"SELECT {COLUMNS[table]}, -1 AS weight FROM old_rows"  # noqa: S608
        changes = {"insert": added, "update": f"{gone} UNION ALL {added}", "delete": gone}
        for event, tables in TABLES.items():
            found.append(function.format(event=event, changes=changes[event]))
            found.append(POSTGRESQL_TRIGGER.format(event=event, table=table, tables=tables))
    return found


def _on_sqlite() -> list[str]:
    status_is_new = "OF status ON products WHEN OLD.status <> NEW.status"
    tagging_is_new = (
        "OF current_tagging_id ON products "
        "WHEN OLD.current_tagging_id IS NOT NEW.current_tagging_id"
    )
    reason_is_new = "OF reason_code ON failures WHEN OLD.reason_code <> NEW.reason_code"
    came, went = _one("status", "NEW.status", 1), _one("status", "OLD.status", -1)
    spoke, silent = _judged("NEW", 1), _judged("OLD", -1)
    failed, forgiven = (
        _one("failure", "NEW.reason_code", 1),
        _one("failure", "OLD.reason_code", -1),
    )
    return [
        _trigger("insert_products", "INSERT ON products", came, *spoke),
        _trigger("update_products", f"UPDATE {status_is_new}", went, came),
        _trigger("tagging_products", f"UPDATE {tagging_is_new}", *silent, *spoke),
        _trigger("delete_products", "DELETE ON products", went, *silent),
        _trigger("insert_failures", "INSERT ON failures", failed),
        _trigger("update_failures", f"UPDATE {reason_is_new}", forgiven, failed),
        _trigger("delete_failures", "DELETE ON failures", forgiven),
    ]


def _trigger(name: str, when: str, *statements: str) -> str:
    return f"CREATE TRIGGER count_{name} AFTER {when} BEGIN {' '.join(statements)} END"


def _one(kind: str, name: str, weight: int) -> str:
    values = f"('{kind}', {name}, 0, {weight})"
    return f"INSERT INTO kept_counts (kind, name, shard, n) VALUES {values} {ADD};"  # noqa: S608


def _judged(row: str, weight: int) -> list[str]:
    mine = f"FROM taggings WHERE id = {row}.current_tagging_id"
    chosen = [
        f"SELECT '{kind}', {column}, 0, {weight} {mine}"
        for kind, column in (("label", "label"), ("model", "model_version"), ("network", "network"))
    ]
    chosen.append(
        f"SELECT 'reason', value, 0, {weight} FROM taggings, json_each(taggings.reasons) "  # noqa: S608
        f"WHERE taggings.id = {row}.current_tagging_id"
    )
    return [f"INSERT INTO kept_counts (kind, name, shard, n) {each} {ADD};" for each in chosen]
