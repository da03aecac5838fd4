"""The table of what a shop's reviews have earned: which photos need no person."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base


class EarnedTrust(Base):
    """The rule in force for photos of one predicted class, where it is not the cautious one.

    All rows of a model version are replaced together; workers read them at their heartbeat.
    """

    __tablename__ = "earned_trust"

    model_version: Mapped[str] = mapped_column(ForeignKey("models.version"), primary_key=True)
    label: Mapped[str] = mapped_column(String(64), primary_key=True)
    # None: under the cautious rule; above 1: nothing is accepted, the reviews speak against it.
    confidence_min: Mapped[float | None]
    temperature: Mapped[float]  # of the photos' confidences; the same for all classes
    reviewed: Mapped[int]
    right: Mapped[int]
    error_at_most: Mapped[float]  # Clopper-Pearson, at `level`
    level: Mapped[float]
    decided_at: Mapped[datetime]
