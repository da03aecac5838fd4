"""Whether more is unfinished than may be, so that nobody hands in what the workers cannot take."""

from sqlalchemy.orm import Session

from db.ledger.summary import unfinished
from review.problems import ProblemError

RETRY_AFTER_S = 30


def refuse_when_full(session: Session, most: int) -> None:
    """Let programs come again later when `most` products or more are unfinished.

    Raises:
        ProblemError: 429 with Retry-After.
    """
    waiting = unfinished(session)
    if waiting >= most:
        raise ProblemError(
            429,
            f"{waiting:,} products wait, {most:,} may (TAGGER_BACKLOG_MAX). Nothing was accepted; "
            "send it again later.",
            {"Retry-After": str(RETRY_AFTER_S)},
        )
