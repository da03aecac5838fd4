import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine
from starlette.routing import Mount, Route

from db.engine import sessions
from db.review import reviewers
from db.review.models import CredentialKind, Role
from review.access import COOKIE, CSRF_HEADER
from review.app import create_app
from review.desk import Desk
from review.limits import Limiter, Rate, Rates
from tests.desk import flag
from tests.review.conftest import RATES, Clock, app_of, browser, program

PUBLIC = {"/login", "/welcome/{link}", "/healthz", "/static"}
LEADS_ONLY = {("GET", "/api/v1/reviews")}
SERVICES_ONLY = (  # beginnings of paths
    "/api/v1/events",
    "/api/v1/jobs",
    "/api/v1/products",
    "/api/v1/thumbnails",
)


def routes(desk: Desk) -> list[tuple[str, str]]:
    """Every method and path the app answers to, found in the app itself."""
    found = []
    pending = list(create_app(desk).routes)
    while pending:
        route = pending.pop()
        inner = getattr(route, "original_router", None)
        if inner is not None:
            pending += inner.routes
        elif isinstance(route, Mount):
            found.append(("GET", route.path))
        elif isinstance(route, Route):
            found += [(method, route.path) for method in route.methods or () if method != "HEAD"]
    return sorted(found)


def url(path: str) -> str:
    return re.sub(r"\{\w+\}", "1", path)


def test_the_walk_sees_every_kind_of_route(desk: Desk) -> None:
    paths = {path for _, path in routes(desk)}
    assert {"/", "/grid", "/dashboard", "/openapi.json", *PUBLIC} <= paths
    assert len([path for path in paths if path.startswith("/api/v1/")]) >= 12
    assert len([path for path in paths if path.startswith("/pictures/")]) == 3


def test_nobody_gets_in_without_being_let_in(desk: Desk, visitor: TestClient) -> None:
    for method, path in routes(desk):
        if path in PUBLIC:
            continue
        for headers in ({}, {"Authorization": "Bearer tagger-0-0"}, {"Cookie": f"{COOKIE}=x"}):
            answer = visitor.request(method, url(path), headers=headers)
            signed_out = answer.status_code == 401 or answer.headers.get("location") == (
                "/login?ended=1"
            )
            assert signed_out, (method, path, answer.status_code)


def test_leads_routes_refuse_reviewers(desk: Desk) -> None:
    reviewer, lead = browser(desk), browser(desk, "Lea", Role.LEAD)
    for method, path in routes(desk):
        if path in PUBLIC or path == "/logout":
            continue
        if path.startswith(SERVICES_ONLY):
            assert lead.request(method, url(path)).status_code == 401, (method, path)
            continue
        refused = reviewer.request(method, url(path)).status_code == 403
        assert refused == ((method, path) in LEADS_ONLY), (method, path)
        assert lead.request(method, url(path)).status_code != 403, (method, path)


def test_disabled_reviewer_is_out_at_the_next_request(desk: Desk) -> None:
    ada, bot = browser(desk), program(desk)
    assert ada.get("/api/v1/me").status_code == bot.get("/api/v1/me").status_code == 200
    with sessions(desk.engine).begin() as session:
        reviewers.disable(session, "Ada", desk.now())
        reviewers.disable(session, "Bot", desk.now())
    assert ada.get("/api/v1/me").status_code == bot.get("/api/v1/me").status_code == 401


def test_token_signs_a_browser_in(desk: Desk, visitor: TestClient) -> None:
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, desk.now())
        token = reviewers.issue(session, ada, CredentialKind.TOKEN, desk.now())
    wrong = visitor.post("/login", data={"token": token[:-1]})
    assert wrong.status_code == 403
    assert "not valid" in wrong.text
    answer = visitor.post("/login", data={"token": f" {token} "})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert token not in cookie
    assert visitor.get("/").status_code == 200


def test_cookie_is_secure_behind_tls(desk: Desk) -> None:
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, desk.now())
        token = reviewers.issue(session, ada, CredentialKind.TOKEN, desk.now())
    client = TestClient(create_app(desk), "https://testserver", follow_redirects=False)
    assert "Secure" in client.post("/login", data={"token": token}).headers["set-cookie"]


def test_one_time_link_lets_in_once(desk: Desk, visitor: TestClient) -> None:
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.LEAD, desk.now())
        link = reviewers.issue(session, ada, CredentialKind.LINK, desk.now())
    assert visitor.post(f"/welcome/{link}").headers["location"] == "/"
    assert visitor.get("/api/v1/me").json()["name"] == "Ada"
    again = TestClient(create_app(desk)).post(f"/welcome/{link}")
    assert again.status_code == 403
    assert "has been used" in again.text


def test_previews_and_other_sites_do_not_use_a_link_up(desk: Desk, visitor: TestClient) -> None:
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, desk.now())
        link = reviewers.issue(session, ada, CredentialKind.LINK, desk.now())
    for _ in range(3):
        page = visitor.get(f"/welcome/{link}")
        assert (page.status_code, "set-cookie" in page.headers) == (200, False)
        assert '<button class="primary" autofocus>Sign in</button>' in page.text
    foreign = {"Origin": "https://evil.example"}
    assert visitor.post(f"/welcome/{link}", headers=foreign).status_code == 403
    assert visitor.post(f"/welcome/{link}").status_code == 303


def test_new_token_signs_browsers_and_programs_out(desk: Desk, visitor: TestClient) -> None:
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, desk.now())
        old = reviewers.issue(session, ada, CredentialKind.TOKEN, desk.now())
        link = reviewers.issue(session, ada, CredentialKind.LINK, desk.now())
    signed_in = browser(desk)
    program = TestClient(app_of(desk), headers={"Authorization": f"Bearer {old}"})
    assert signed_in.get("/api/v1/me").status_code == program.get("/api/v1/me").status_code == 200
    with sessions(desk.engine).begin() as session:
        ada = reviewers.named(session, "Ada")
        reviewers.issue(session, ada, CredentialKind.TOKEN, desk.now())
    assert signed_in.get("/api/v1/me").status_code == program.get("/api/v1/me").status_code == 401
    assert visitor.post("/login", data={"token": old}).status_code == 403
    assert visitor.post(f"/welcome/{link}").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"&".join(b"a%d=b" % number for number in range(5000)), b"token=\xff\x00\xed\xa0\x80",
        b"&" * 999, b"token=tagger-" + b"%00" * 12 + b"-" + b"0" * 48,
    ],
    ids=["many fields", "no text", "no fields", "nul"],
)  # fmt: skip
def test_sign_in_form_of_any_shape_is_refused_not_stumbled_over(
    engine: Engine, make_desk: Callable[..., Desk], body: bytes
) -> None:
    client = TestClient(create_app(make_desk(engine)))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/login", content=body, headers=headers)
    assert answer.status_code in (403, 422)
    assert '<form class="card" method="post" action="/login">' in answer.text


def test_ended_session_is_told_to_people_and_to_programs(desk: Desk, clock: Clock) -> None:
    ada = browser(desk)
    clock.turn(hours=13)
    page, api = ada.get("/"), ada.get("/api/v1/me")
    assert page.headers["location"] == "/login?ended=1"
    assert "Nothing is lost" in ada.get("/login?ended=1").text
    assert api.status_code == 401
    assert "session has ended" in api.json()["detail"]


def test_session_stays_alive_while_it_is_used(desk: Desk, clock: Clock) -> None:
    ada = browser(desk)
    for _ in range(4):
        clock.turn(hours=11)
        assert ada.get("/api/v1/me").status_code == 200


def test_signing_out_ends_the_session_on_the_server(desk: Desk) -> None:
    ada = browser(desk)
    cookies = dict(ada.cookies)
    assert ada.post("/logout").status_code == 303
    stolen = TestClient(create_app(desk), cookies=cookies)
    assert stolen.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {CSRF_HEADER: ""},
        {CSRF_HEADER: "0" * 64},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_change_asked_by_another_site_is_refused(desk: Desk, headers: dict[str, str]) -> None:
    ada = browser(desk)
    answer = ada.post("/api/v1/claims", json={}, headers=headers)
    assert answer.status_code == 403
    assert ada.post("/api/v1/claims", json={}).status_code == 200


def test_sign_in_form_of_another_site_is_refused(visitor: TestClient) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = visitor.post("/login", data={"token": "x"}, headers=headers)
        assert answer.status_code == 403
        assert "own pages" in answer.text


def test_guessing_is_slowed_down(sqlite_engine: Engine, make_desk: Callable[..., Desk]) -> None:
    strict = Rates(api=RATES.api, pictures=RATES.pictures)
    client = TestClient(create_app(make_desk(sqlite_engine, strict)))
    answers = [client.post("/login", data={"token": "guess"}) for _ in range(7)]
    assert [each.status_code for each in answers] == [403] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0


def test_guessing_does_not_lock_out_who_shares_the_address(
    sqlite_engine: Engine, make_desk: Callable[..., Desk]
) -> None:
    """Behind a proxy that is not believed all visitors have one address."""
    desk = make_desk(sqlite_engine, Rates(api=RATES.api))
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, desk.now())
        token = reviewers.issue(session, ada, CredentialKind.TOKEN, desk.now())
        link = reviewers.issue(session, ada, CredentialKind.LINK, desk.now())
    client = TestClient(create_app(desk), follow_redirects=False)
    while client.post("/login", data={"token": "guess"}).status_code != 429:
        pass
    while client.get("/api/v1/me", headers={"Authorization": "Bearer x"}).status_code != 429:
        pass
    bearer = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/me", headers=bearer).status_code == 200
    assert client.post(f"/welcome/{link}").status_code == 303
    assert client.post("/login", data={"token": token}).status_code == 303


def test_guessing_the_other_half_of_a_token_is_slowed_down(
    sqlite_engine: Engine, make_desk: Callable[..., Desk]
) -> None:
    desk = make_desk(sqlite_engine, Rates(api=RATES.api))
    with sessions(desk.engine).begin() as session:
        ada = reviewers.add(session, "Ada", Role.REVIEWER, desk.now())
        token = reviewers.issue(session, ada, CredentialKind.TOKEN, desk.now())
    client = TestClient(create_app(desk))
    guess = {"token": token.rpartition("-")[0] + "-" + "0" * 48}
    statuses = [client.post("/login", data=guess).status_code for _ in range(7)]
    assert statuses == [403] * 5 + [429] * 2


def test_guessing_tokens_at_the_api_is_slowed_down(
    sqlite_engine: Engine, make_desk: Callable[..., Desk]
) -> None:
    strict = Rates(sign_in_all=Rate(per_second=0.1, burst=2))
    client = TestClient(create_app(make_desk(sqlite_engine, strict)))
    headers = {"Authorization": "Bearer tagger-0-0"}
    statuses = [client.get("/api/v1/me", headers=headers).status_code for _ in range(4)]
    assert statuses == [401, 401, 429, 429]


def test_one_persons_haste_does_not_slow_another(
    sqlite_engine: Engine, make_desk: Callable[..., Desk]
) -> None:
    desk = make_desk(sqlite_engine, Rates(api=Rate(per_second=0.1, burst=3)))
    ada, ben = browser(desk), browser(desk, "Ben")
    assert [ada.get("/api/v1/me").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert ben.get("/api/v1/me").status_code == 200


def test_bucket_fills_again_with_time() -> None:
    seconds = [0.0]
    limiter = Limiter(Rate(per_second=2, burst=2), clock=lambda: seconds[0])
    assert [limiter.wait_s("a") for _ in range(3)] == [0, 0, 1]
    seconds[0] = timedelta(seconds=0.5).total_seconds()
    assert [limiter.wait_s("a") for _ in range(2)] == [0, 1]


@pytest.mark.parametrize("path", ["/", "/login", "/api/v1/me", "/static/none", "/nowhere"])
def test_every_answer_carries_the_security_headers(desk: Desk, path: str) -> None:
    headers = browser(desk).get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "img-src 'self';" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"


def test_other_host_names_get_nothing(desk: Desk) -> None:
    answer = browser(desk).get("/api/v1/me", headers={"Host": "rebound.example"})
    assert answer.status_code == 400


def test_health_needs_no_credentials_and_tells_nothing(visitor: TestClient) -> None:
    assert visitor.get("/healthz").text == "ok"


def test_token_needs_no_csrf_token(desk: Desk) -> None:
    with sessions(desk.engine).begin() as session:
        flag(session, "p1", now=desk.now())
    assert len(program(desk).post("/api/v1/claims", json={}).json()["items"]) == 1
