"""Why a review cannot be recorded."""

from catalog.errors import OperatorError


class ReviewError(OperatorError):
    """Something about a review that a person can correct."""


class UnknownItemError(ReviewError):
    """There is no such item in the queue."""


class UnknownLabelError(ReviewError):
    """A label that is not in the taxonomy."""


class StaleDecisionError(ReviewError):
    """The item is no longer what the person saw."""


class OwnOpinionError(ReviewError):
    """A second opinion of the person who gave the first."""


class KeyReusedError(ReviewError):
    """A request key that came before with another decision."""


class UndoError(ReviewError):
    """There is nothing of this reviewer's that can be taken back."""
