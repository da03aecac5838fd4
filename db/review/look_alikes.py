"""Which items of the queue may stand in one group: by the embedding of the network that saw them.

How near is near enough is measured on labelled photos (trainer/photos/alike.py). Of some labels
those photos could not say it: these stand with their own only. What is near must also be said to be
about the same (catalog/agreement.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.agreement import OVERLAP_MIN, overlap
from catalog.out_of_taxonomy import unit
from db.ledger.models import Model, Tagging
from db.taxonomies.moves import moves_of_models, now_called


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is compared of an item: embedding, float16 (d,) as bytes."""

    tagging_id: int
    embedding: bytes
    label: str

    @classmethod
    def of(cls, row: Any) -> "Look":
        """Of an item of the queue, or of a row with these three of its columns."""
        return cls(tagging_id=row.tagging_id, embedding=row.embedding, label=row.label)


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """least: the cosine from which on a network's pictures show one category, None where nobody
    measured that. apart: the labels of which nobody could, as they are called now.
    """

    least: float | None
    apart: frozenset[str]

    @classmethod
    def of(cls, session: Session, version: str, network: str | None) -> "Likeness":
        """Of one network of a model."""
        statement = select(Model.manifest).where(Model.version == version)
        manifest = session.scalars(statement).one_or_none() or {}
        least = (manifest.get("alike_min") or {}).get(str(network))
        apart = (manifest.get("alike_apart") or {}).get(str(network)) or ()
        moved = moves_of_models(session, [version]).get(version, {}) if apart else {}
        return cls(
            least=None if least is None else float(least),
            apart=frozenset(now_called(moved, label) or label for label in apart),
        )

    def label_wanted(self, first: Look) -> str | None:
        """The only label that may stand with this item; None: any, as far as `nearest` finds it."""
        if self.least is None:
            return first.label
        return first.label if first.label in self.apart else None

    def nearest(self, first: Look, others: Sequence[Look]) -> list[int]:
        """The tagging ids of those that may stand with the first, most alike first."""
        target = unit(np.frombuffer(first.embedding, np.float16)[None].astype(np.float32))
        fitting = [each for each in others if len(each.embedding) == len(first.embedding)]
        if self.least is not None:
            fitting = [each for each in fitting if self._may_meet(first, each)]
        if not fitting or not target.size:
            return [each.tagging_id for each in fitting] if self.least is None else []
        matrix = np.frombuffer(b"".join(each.embedding for each in fitting), np.float16)
        similarity = unit(matrix.reshape(len(fitting), -1).astype(np.float32)) @ target[0]
        order = np.argsort(-similarity, kind="stable")
        return [
            fitting[place].tagging_id
            for place in order
            if self.least is None or similarity[place] >= self.least
        ]

    def agreeing(self, session: Session, first: Look, near: Sequence[int]) -> list[int]:
        """Those of which the network says about the same as of the first, in their order."""
        if self.least is None or not near:
            return list(near)
        statement = select(Tagging.id, Tagging.confidences).where(
            Tagging.id.in_([first.tagging_id, *near])
        )
        said = {row.id: row.confidences for row in session.execute(statement)}
        common = overlap(
            np.array([said[first.tagging_id]], np.float64),
            np.array([said[each] for each in near], np.float64),
        )[0]
        return [each for each, share in zip(near, common, strict=True) if share >= OVERLAP_MIN]

    def _may_meet(self, first: Look, other: Look) -> bool:
        return first.label == other.label or not {first.label, other.label} & self.apart
