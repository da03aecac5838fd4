"""Tokens of services at the door of the API, before any endpoint of theirs."""

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from db.engine import sessions
from db.services import tokens
from db.services.models import Scope
from review.app import create_app
from review.desk import Desk
from review.limits import Limiter, Rate
from review.services import JobsService, ResultsService
from tests.review.conftest import browser, program
from tests.services import service

router = APIRouter(prefix="/api/v1")


@router.post("/jobs-test")
def jobs(service: JobsService) -> str:
    return service.name


@router.get("/results-test")
def results(service: ResultsService) -> str:
    return service.name


@pytest.fixture
def app(desk: Desk) -> FastAPI:
    app = create_app(desk)
    app.include_router(router)
    return app


def test_a_service_does_what_its_scopes_say_and_is_told_what_is_missing(
    desk: Desk, app: FastAPI
) -> None:
    both = service(desk, app, *Scope, name="both")
    sender = service(desk, app, Scope.JOBS, name="sender")
    reader = service(desk, app, Scope.RESULTS, name="reader")
    assert (
        both.post("/api/v1/jobs-test").json() == both.get("/api/v1/results-test").json() == "both"
    )
    assert (sender.post("/api/v1/jobs-test").json(), reader.get("/api/v1/results-test").json()) == (
        "sender",
        "reader",
    )
    for refused in (reader.post("/api/v1/jobs-test"), sender.get("/api/v1/results-test")):
        assert refused.status_code == 403
        assert refused.headers["content-type"] == "application/problem+json"
    assert "this needs results" in sender.get("/api/v1/results-test").json()["detail"]


def test_without_a_valid_token_nothing_is_answered(desk: Desk, app: FastAPI) -> None:
    shop = service(desk, app, *Scope)
    good = shop.headers["Authorization"]
    visitor = TestClient(app)
    for bad in (None, "Bearer x", f"{good}0", good[:-1], "Basic eDp5", good.replace("Bearer ", "")):
        answer = visitor.get("/api/v1/results-test", headers={"Authorization": bad} if bad else {})
        assert answer.status_code == 401, bad
        assert answer.json()["status"] == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    with sessions(desk.engine).begin() as session:
        tokens.revoke(session, "shop", desk.now())
    assert shop.get("/api/v1/results-test").status_code == 401


def test_people_and_services_do_not_pass_for_each_other(desk: Desk, app: FastAPI) -> None:
    shop = service(desk, app, *Scope)
    for path in ("/api/v1/me", "/api/v1/items", "/pictures/1/thumbnail", "/dashboard"):
        answer = shop.get(path, follow_redirects=False)
        assert answer.status_code == 403, path
        assert "reviewer token" in answer.json()["detail"]
    signed_in = TestClient(app, cookies=browser(desk).cookies)
    assert signed_in.get("/api/v1/results-test").status_code == 401
    bot = program(desk).headers["Authorization"]
    assert (
        TestClient(app).get("/api/v1/results-test", headers={"Authorization": bot}).status_code
        == 401
    )
    token = shop.headers["Authorization"].removeprefix("Bearer ")
    login = TestClient(app, follow_redirects=False).post("/login", data={"token": token})
    assert "set-cookie" not in login.headers


def test_each_token_has_a_rate_of_its_own(desk: Desk, app: FastAPI) -> None:
    desk.service_limit = Limiter(Rate(per_second=0.01, burst=2), clock=lambda: 0.0)
    shop, other = service(desk, app, *Scope), service(desk, app, *Scope, name="other")
    assert [shop.get("/api/v1/results-test").status_code for _ in range(3)] == [200, 200, 429]
    assert int(shop.get("/api/v1/results-test").headers["retry-after"]) == 100
    assert other.get("/api/v1/results-test").status_code == 200


def test_whoever_guesses_is_slowed_down_and_nobody_else(desk: Desk, app: FastAPI) -> None:
    desk.sign_in_limit_all = Limiter(Rate(per_second=0.01, burst=3), clock=lambda: 0.0)
    shop = service(desk, app, *Scope)
    guess = {"Authorization": "Bearer tagger-service-" + "0" * 64}
    guessed = [
        TestClient(app).get("/api/v1/results-test", headers=guess).status_code for _ in range(4)
    ]
    assert guessed == [401, 401, 401, 429]
    assert shop.get("/api/v1/results-test").status_code == 200
