"""The root of the errors that a person can correct."""


class OperatorError(Exception):
    """Something the operator must correct; the command line shows its message, no traceback."""
