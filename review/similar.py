"""Which reviewed items look like this one: an index of embeddings in memory.

100,000 reviewed items take about 25 MB and 10 ms a look-up; decisions are followed by their ids.
"""

import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.review.models import Action, Review, ReviewItem

REFRESH_AT_MOST = 20_000


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """A reviewed item and what a person called it; similarity is the cosine, -1 to 1."""

    tagging_id: int
    label: str
    similarity: float


class ReviewedIndex:
    """The embeddings of all items that people have decided; one for each process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = 0  # the newest review taken in
        self._labels: dict[int, str] = {}
        self._embeddings: dict[int, bytes] = {}
        self._matrix: NDArray[np.float32] | None = None
        self._order: list[int] = []

    def nearest(
        self, session: Session, embeddings: dict[int, bytes], count: int
    ) -> dict[int, list[Reviewed]]:
        """The `count` most alike reviewed items of each of these, by tagging id."""
        with self._lock:
            self._refresh(session)
            return {key: self._look_up(key, value, count) for key, value in embeddings.items()}

    def _refresh(self, session: Session) -> None:
        statement = (
            select(Review.id, Review.tagging_id, Review.action, Review.label, ReviewItem.embedding)
            .join(ReviewItem, ReviewItem.tagging_id == Review.tagging_id)
            .where(Review.id > self._seen, Review.action != Action.SKIP)
            .order_by(Review.id)
            .limit(REFRESH_AT_MOST)
        )
        for review_id, tagging_id, action, label, embedding in session.execute(statement):
            self._seen = review_id
            self._matrix = None
            if action == Action.UNDO:
                self._labels.pop(tagging_id, None)
                self._embeddings.pop(tagging_id, None)
            elif embedding.strip(b"\0") and label:
                self._labels[tagging_id] = label
                self._embeddings[tagging_id] = embedding

    def _look_up(self, tagging_id: int, embedding: bytes, count: int) -> list[Reviewed]:
        target = np.frombuffer(embedding, np.float16).astype(np.float32)
        norm = float(np.linalg.norm(target))
        matrix = self._rows(len(embedding))
        if not len(matrix) or norm == 0:
            return []
        similarity = matrix @ (target / norm)
        best = np.argsort(-similarity, kind="stable")[: count + 1]
        return [
            Reviewed(
                tagging_id=self._order[index],
                label=self._labels[self._order[index]],
                similarity=round(float(similarity[index]), 4),
            )
            for index in best
            if self._order[index] != tagging_id
        ][:count]

    def _rows(self, embedding_bytes: int) -> NDArray[np.float32]:
        if self._matrix is None or self._matrix.shape[1] * 2 != embedding_bytes:
            fitting = {k: v for k, v in self._embeddings.items() if len(v) == embedding_bytes}
            self._order = list(fitting)
            rows = np.frombuffer(b"".join(fitting.values()), np.float16).astype(np.float32)
            rows = rows.reshape(len(fitting), embedding_bytes // 2)
            norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            self._matrix = np.asarray(rows / norms, np.float32)
        return self._matrix
