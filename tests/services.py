"""Programs at the API for tests."""

from fastapi import FastAPI
from fastapi.testclient import TestClient

from db.engine import sessions
from db.services import tokens
from db.services.models import Scope
from review.desk import Desk


def service_token(desk: Desk, *scopes: Scope, name: str = "shop") -> str:
    """A new token of a service, which is added where it is missing; no scopes: all."""
    with sessions(desk.engine).begin() as session:
        known = {each.name: each for each in tokens.everyone(session)}
        found = known.get(name) or tokens.add(session, name, scopes or tuple(Scope), desk.now())
        return tokens.issue(session, found, desk.now())


def service(desk: Desk, app: FastAPI, *scopes: Scope, name: str = "shop") -> TestClient:
    """A program with a token of its own."""
    token = service_token(desk, *scopes, name=name)
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})
