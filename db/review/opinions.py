"""What people's decisions say in the taxonomy in force."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from db.review.models import Review
from db.taxonomies.moves import Moves, moves, moves_of_models, now_called


class OpinionsNow:
    """Reads decisions of any taxonomy; what an earlier one's labels are now is looked up once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of_models: dict[str, Moves] = {}
        self._of_taxonomies: dict[tuple[str, int], Moves] = {}

    def standing(self, decisions: Sequence[Review]) -> list[tuple[Review, str]]:
        """The decisions with their labels now; without those whose category is gone or split."""
        labelled = ((each, now_called(self._moves(each), each.label or "")) for each in decisions)
        return [(each, label) for each, label in labelled if label is not None]

    def _moves(self, review: Review) -> Moves:
        if review.taxonomy_name is None or review.taxonomy_version is None:
            version = review.model_version
            if version not in self._of_models:
                self._of_models |= moves_of_models(self._session, [version])
            return self._of_models[version]
        key = review.taxonomy_name, review.taxonomy_version
        if key not in self._of_taxonomies:
            self._of_taxonomies[key] = moves(self._session, *key)
        return self._of_taxonomies[key]
