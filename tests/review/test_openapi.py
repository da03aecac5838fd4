import subprocess
import sys
from pathlib import Path

from db.engine import sessions
from db.review import reviewers
from db.review.models import CredentialKind, Role
from review.desk import Desk
from tests.desk import flag_many
from tests.review.conftest import app_of, browser, write_photo
from tests.review.server import serving
from tests.services import service_token

OF_SERVICES = "^/api/v1/(jobs|products|thumbnails)"


def run_schemathesis(folder: Path, url: str, token: str, *options: str) -> None:
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"), "run", f"{url}/openapi.json",
            "--header", f"Authorization: Bearer {token}", "--seed", "1", "--max-examples", "12",
            "--suppress-health-check", "all", "--no-color", *options,
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_schemathesis_finds_nothing_on_the_running_server(desk: Desk, tmp_path: Path) -> None:
    write_photo(tmp_path / "p000.png")
    with sessions(desk.engine).begin() as session:
        flag_many(session, 20, desk.now())
        lead = reviewers.add(session, "Lea", Role.LEAD, desk.now())
        token = reviewers.issue(session, lead, CredentialKind.TOKEN, desk.now())
    with serving(app_of(desk)) as url:
        run_schemathesis(
            tmp_path, url, token, "--exclude-path-regex", OF_SERVICES,
            # Ids and etags are data: a well-formed request may well name nothing that exists.
            "--exclude-checks", "positive_data_acceptance",
        )  # fmt: skip


def test_schemathesis_finds_nothing_where_services_go(desk: Desk, tmp_path: Path) -> None:
    with sessions(desk.engine).begin() as session:
        flag_many(session, 3, desk.now())
    with serving(app_of(desk)) as url:
        run_schemathesis(
            tmp_path, url, service_token(desk), "--include-path-regex", OF_SERVICES,
            # As above; and malformed jobs among good ones are told, not refused.
            "--exclude-checks", "positive_data_acceptance,negative_data_rejection",
        )  # fmt: skip


def test_every_operation_is_described_with_its_problems(desk: Desk) -> None:
    document = browser(desk).get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            assert {"401", "403", "422", "429", "503"} <= set(operation["responses"])
            assert "application/problem+json" in operation["responses"]["401"]["content"]
