"""The root of the errors that a person can correct."""


class OperatorError(Exception):
    """Something the operator must correct; the command line shows its message, no traceback."""


class SettingsError(OperatorError):
    """A setting that cannot be used: names the variable, its value and what was wanted."""
