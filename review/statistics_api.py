"""The dashboard's figures for programs."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from catalog.statistics import Proportion
from db.review.statistics import Statistics, statistics
from review.access import Signed, limited
from review.desk import desk_of
from review.problems import responses

router = APIRouter(
    prefix="/api/v1",
    tags=["review"],
    dependencies=[Depends(limited(lambda desk: desk.api_limit))],
    responses=responses(),
)


class ShareFigures(BaseModel):
    """`right` of `whole` with the 95 % interval; the share of nothing is null."""

    right: int
    whole: int
    share: float | None
    low: float
    high: float


class HourFigures(BaseModel):
    """Decisions of one person in the hour that starts at `hour`."""

    hour: datetime
    reviewer: str
    decisions: int


class ConfusionFigures(BaseModel):
    """How often the machine said this and people said that."""

    machine: str
    person: str
    count: int


class StatisticsFigures(BaseModel):
    """The desk at one instant."""

    open: int
    second: int
    disputes: int
    oldest_at: datetime | None
    ages: dict[str, int]
    per_hour: list[HourFigures]
    people: list[dict[str, str | int | float | None]]
    audit: dict[str, ShareFigures]
    confusion: list[ConfusionFigures]
    reasons_per_day: dict[str, dict[str, int]]
    models: list[dict[str, str | int | ShareFigures]]
    second_opinions: ShareFigures
    kappa: float | None


@router.get("/statistics")
def get_statistics(request: Request, person: Signed) -> StatisticsFigures:
    """Queue, people, machine against people, audit samples, models."""
    desk = desk_of(request)
    with desk.read() as session:
        return StatisticsFigures.model_validate(as_json(statistics(session, desk.now())))


def as_json(found: Statistics) -> dict[str, Any]:
    """The statistics in JSON's types."""
    days: dict[str, dict[str, int]] = {}
    for (day, reason), count in found.reasons_per_day.items():
        days.setdefault(day.isoformat(), {})[reason] = count
    return {
        "open": found.open,
        "second": found.second,
        "disputes": found.disputes,
        "oldest_at": found.oldest_at.isoformat() if found.oldest_at else None,
        "ages": dict(found.ages),
        "per_hour": [
            {"hour": hour.isoformat(), "reviewer": name, "decisions": count}
            for (hour, name), count in sorted(found.per_hour.items())
        ],
        "people": [asdict(each) for each in found.people],
        "audit": {label: share_json(each) for label, each in found.audit.items()},
        "confusion": [
            {"machine": machine, "person": person, "count": count}
            for (machine, person), count in sorted(found.confusion.items())
        ],
        "reasons_per_day": days,
        "models": [
            {
                "version": each.version,
                "tagged": each.tagged,
                "flagged": each.flagged,
                "agreed": share_json(each.agreed),
                "audit": share_json(each.audit),
            }
            for each in found.models
        ],
        "second_opinions": share_json(found.second_opinions),
        "kappa": found.kappa,
    }


def share_json(share: Proportion) -> dict[str, Any]:
    """A proportion with its interval."""
    low, high = share.interval
    return {
        "right": share.right,
        "whole": share.whole,
        "share": share.share,
        "low": low,
        "high": high,
    }
