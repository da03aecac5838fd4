"""Which reviewed items look like this one: an index of embeddings in memory.

100,000 reviewed items take about 25 MB and 10 ms a look-up; decisions are followed by their ids.
"""

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.out_of_taxonomy import unit
from db.ledger.models import Tagging
from db.review.models import Action, Review, ReviewItem

REFRESH_AT_MOST = 20_000
# Whose embedding it is: a model version, which network of its bundle, and how many bytes it has.
Network = tuple[str, str, int]


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
        # Embeddings of two networks have nothing to do with each other, even if they are as long.
        self._embeddings: dict[Network, dict[int, bytes]] = defaultdict(dict)
        self._tables: dict[Network, _Table] = {}

    def nearest(
        self, session: Session, embeddings: Mapping[int, bytes], count: int
    ) -> dict[int, list[Reviewed]]:
        """The `count` most alike reviewed items of each of these, by tagging id.

        Only what the same network of the same model saw is compared.
        """
        with self._lock:
            self._refresh(session)
            networks = _networks(session, embeddings)
            return {
                key: self._look_up(key, networks.get(key), value, count)
                for key, value in embeddings.items()
            }

    def _refresh(self, session: Session) -> None:
        statement = (
            select(
                Review.id, Review.tagging_id, Review.action, Review.label, ReviewItem.embedding,
                Tagging.model_version, Tagging.network,
            )
            .join(ReviewItem, ReviewItem.tagging_id == Review.tagging_id)
            .join(Tagging, Tagging.id == Review.tagging_id)
            .where(Review.id > self._seen, Review.action != Action.SKIP)
            .order_by(Review.id)
            .limit(REFRESH_AT_MOST)
        )  # fmt: skip
        for review_id, tagging_id, action, label, embedding, version, network in session.execute(
            statement
        ):
            self._seen = review_id
            whose = (version, network, len(embedding))
            mine = self._embeddings[whose]
            self._tables.pop(whose, None)
            if action == Action.UNDO:
                self._labels.pop(tagging_id, None)
                mine.pop(tagging_id, None)
            elif embedding.strip(b"\0") and label:
                self._labels[tagging_id] = label
                mine[tagging_id] = embedding

    def _look_up(
        self, tagging_id: int, network: "Network | None", embedding: bytes, count: int
    ) -> list[Reviewed]:
        target = np.frombuffer(embedding, np.float16).astype(np.float32)
        norm = float(np.linalg.norm(target))
        if network is None or not self._embeddings.get(network) or norm == 0:
            return []
        table = self._table(network)
        similarity = table.rows @ (target / norm)
        best = np.argsort(-similarity, kind="stable")[: count + 1]
        return [
            Reviewed(
                tagging_id=table.ids[index],
                label=self._labels[table.ids[index]],
                similarity=round(float(similarity[index]), 4),
            )
            for index in best
            if table.ids[index] != tagging_id
        ][:count]

    def _table(self, network: "Network") -> "_Table":
        if network not in self._tables:
            self._tables[network] = _Table.of(self._embeddings[network])
        return self._tables[network]


@dataclass(frozen=True, kw_only=True)
class _Table:
    """The embeddings of one network: ids, and rows float32 (N, d) of length 1."""

    ids: list[int]
    rows: NDArray[np.float32]

    @classmethod
    def of(cls, embeddings: Mapping[int, bytes]) -> "_Table":
        """All of them, at least one; they are equally long."""
        rows = np.frombuffer(b"".join(embeddings.values()), np.float16).astype(np.float32)
        return cls(ids=list(embeddings), rows=unit(rows.reshape(len(embeddings), -1)))


def _networks(session: Session, embeddings: Mapping[int, bytes]) -> dict[int, Network]:
    columns = (Tagging.id, Tagging.model_version, Tagging.network)
    found = session.execute(select(*columns).where(Tagging.id.in_(list(embeddings))))
    return {
        tagging_id: (version, network, len(embeddings[tagging_id]))
        for tagging_id, version, network in found
    }
