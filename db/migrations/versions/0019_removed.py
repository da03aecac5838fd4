"""Products may be removed: a state more.

Revision: 0019, after 0018

SQLite cannot alter a CHECK. Its text in the schema is changed instead, as SQLite's own page on
ALTER TABLE describes it for constraints; a copy of the table would lose triggers and take as long
as the table is large.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

BEFORE = "'queued', 'processing', 'tagged', 'needs_review', 'reviewed', 'failed'"
AFTER = f"{BEFORE}, 'removed'"


def upgrade() -> None:
    _allow(BEFORE, AFTER)


def downgrade() -> None:
    op.execute("DELETE FROM products WHERE status = 'removed' AND NOT EXISTS "
               "(SELECT 1 FROM taggings WHERE product_id = products.id)")  # fmt: skip
    op.execute("UPDATE products SET status = 'failed' WHERE status = 'removed'")
    _allow(AFTER, BEFORE)


def _allow(before: str, after: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint(op.f("ck_products_status"), "products", type_="check")
        op.create_check_constraint(op.f("ck_products_status"), "products", f"status IN ({after})")
        return
    connection = op.get_bind()
    version = connection.execute(sa.text("PRAGMA schema_version")).scalar_one()
    op.execute("PRAGMA writable_schema = ON")
    changed = connection.execute(
        sa.text(
            "UPDATE sqlite_master SET sql = replace(sql, :before, :after) "
            "WHERE type = 'table' AND name = 'products' AND instr(sql, :before) > 0"
        ),
        {"before": f"IN ({before})", "after": f"IN ({after})"},
    )
    op.execute(f"PRAGMA schema_version = {version + 1}")
    op.execute("PRAGMA writable_schema = OFF")
    if changed.rowcount != 1:
        raise RuntimeError(f"expected the check of products.status, {before}, found another")
