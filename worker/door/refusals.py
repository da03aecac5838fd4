"""What is refused at the door travels on as a payload, and becomes a dead letter in a child.

The process that receives messages has no database connection, as it forks; and a dead letter
must be committed before its message is acknowledged. So a message that cannot be read is put into
one that can, which goes the way of all others: unacknowledged in the broker, in a batch, stored in
the batch's transaction, put back while the database is away.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from catalog.failures import FailureCode
from catalog.jobs import SUBJECT_PREFIX
from catalog.outcomes import Failure, Outcome
from worker.door.evidence import evidence

KEYWORD = "refused_message"


class RefusedError(Exception):
    """A message cannot be read; detail says what was expected and what its sender must change."""

    def __init__(self, code: FailureCode, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A refused message, as it is handed to a child: JSON all through."""

    subject: str
    code: str
    detail: str
    evidence: str

    @classmethod
    def of(cls, raw: bytes, error: RefusedError) -> Self:
        """The same bytes give the same subject: delivered twice, they make one row."""
        return cls(
            subject=SUBJECT_PREFIX + hashlib.sha256(raw).hexdigest(),
            code=error.code.value,
            detail=error.detail,
            evidence=evidence(raw),
        )

    @classmethod
    def found_in(cls, payload: object) -> Self | None:
        """The refusal that a payload carries; None: it is, or should be, a job."""
        if not isinstance(payload, Mapping) or set(payload) != {KEYWORD}:
            return None
        fields = payload[KEYWORD]
        if not isinstance(fields, Mapping) or set(fields) != set(cls.__dataclass_fields__):
            return None
        if not all(isinstance(each, str) for each in fields.values()):
            return None
        known = fields["code"] in set(FailureCode) and fields["subject"].startswith(SUBJECT_PREFIX)
        return cls(**fields) if known else None

    def kwargs(self) -> dict[str, dict[str, str]]:
        return {KEYWORD: asdict(self)}

    def outcome(self) -> Outcome:
        code = FailureCode(self.code)  # type: ignore[call-arg]
        failure = Failure(code=code, detail=self.detail)
        return Outcome(subject=self.subject, job=None, result=failure, payload=self.evidence)
