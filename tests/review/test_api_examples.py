"""The examples of docs/API.md, each run as it stands there by its own interpreter."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.ledger.models import Product
from review.desk import Desk
from tests.review.conftest import app_of
from tests.review.server import serving
from tests.services import service_token

API = Path(__file__).parents[2] / "docs" / "API.md"
# language of the block: its file, and the command that runs it
INTERPRETERS = {
    "bash": ("example.sh", ["bash"]),
    "php": ("example.php", ["php"]),
    "java": ("Example.java", ["java", "-Xshare:auto", "-XX:TieredStopAtLevel=1"]),
    "js": ("example.js", ["node"]),
}


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", API.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


@pytest.mark.parametrize("language", INTERPRETERS)
def test_the_example_hands_in_jobs_and_asks_for_one(
    language: str, desk: Desk, tmp_path: Path
) -> None:
    name, command = INTERPRETERS[language]
    for program in (command[0], *(["curl", "gzip"] if language == "bash" else [])):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    (tmp_path / name).write_text(example(language), encoding="utf-8")
    with serving(app_of(desk)) as url:
        known = os.environ | {"TAGGER_URL": url, "TAGGER_TOKEN": service_token(desk)}
        for _ in range(2):  # the second time under the same key
            done = subprocess.run(
                [*command, name], cwd=tmp_path, env=known, capture_output=True, text=True,
                timeout=240, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            accepted, product = map(json.loads, done.stdout.strip().splitlines())
            assert accepted == {"received": 2, "accepted": 2, "superseded": 0, "malformed": []}
            assert (product["product_id"], product["state"]) == ("4711", "queued")
        known["TAGGER_TOKEN"] = "tagger-service-" + "0" * 64
        refused = subprocess.run(
            [*command, name], cwd=tmp_path, env=known, capture_output=True, text=True,
            timeout=240, check=False,
        )  # fmt: skip
        assert refused.returncode != 0
        assert "not valid" in refused.stdout + refused.stderr
    with Session(desk.engine) as session:
        rows = session.scalars(select(Product)).all()
        assert {row.id for row in rows} == {"4711", "4712"}
        assert len({row.message_id for row in rows}) == 2
