"""Keeps one process's models as the registry says, without a restart."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic

from sqlalchemy import Engine

from catalog.bundle import BundleError
from catalog.settings import Settings
from db.engine import reading, sessions
from db.registry import bundles as registry
from db.registry.bundles import Holder, Roles
from worker.serving import Bundles
from worker.tagging.classifier import Classifier
from worker.tagging.lineup import Lineup, Trial
from worker.tagging.store import UNAVAILABLE, unavailable_if_away

# A bundle that was refused is tried again this often: a shared folder may lag behind.
RETRY_S = 30.0
# Stands for the bundle of TAGGER_BUNDLE, which has no row in the registry.
SETTINGS = "settings"

logger = logging.getLogger("tagger.models")


class ModelKeeper:
    """One process's lineup. A bundle that cannot be used never ends one that can."""

    def __init__(self, chosen: Settings, engine: Engine, worker: str) -> None:
        """Load what serves.

        worker: the name under which refusals are told.

        Raises:
            BundleError: not even the settings' bundle can be used.
            StoreUnavailableError: the registry cannot be read.
        """
        self._bundles = Bundles(chosen)
        self._threads = chosen.model_threads
        self._sessions, self._reading = sessions(engine), reading(engine)
        self._worker = worker
        self._loaded: dict[str | None, Classifier] = {}
        self._refused: dict[str, str] = {}
        self._told: dict[str, str] | None = None
        self._retry_at = float("inf")
        self._said = ""
        with unavailable_if_away(), self._reading() as session:
            held, before = registry.roles(session), registry.served_before(session)
        self.lineup = self._line_up(held, self._first(held.serving, before))

    def look(self, generation: int) -> Lineup:
        """The lineup to use from now on; `generation` is the registry's, as just seen.

        Where nothing changed, nothing is read. A database that goes away meanwhile leaves
        everything as it was, and the next look makes up for it. So does it for a change that is
        committed while the roles are read: their generation is never newer than they are. This
        batch is whole under the lineup that it began with.
        """
        if generation == self._generation and monotonic() < self._retry_at:
            return self.lineup
        try:
            with self._reading() as session:
                held = registry.roles(session)
        except UNAVAILABLE:
            return self.lineup
        serving = self._usable(held.serving) or self.lineup.serving
        self.lineup = self._line_up(held, serving)
        return self.lineup

    def _first(self, serving: Holder, before: Sequence[str | None]) -> Classifier:
        """What a new process begins with: the serving bundle, or the last good one before it."""
        found = self._usable(serving)
        for sha256 in before if found is None else ():
            earlier = Holder(role=serving.role, sha256=sha256)
            # The settings' bundle is the last resort: where that fails, the process does.
            found = self._usable(earlier) if sha256 else self._load(None)
            if found is not None:
                break
        assert found is not None
        return found

    def _line_up(self, held: Roles, serving: Classifier) -> Lineup:
        canary, shadow = self._trial(held.canary), self._trial(held.shadow)
        lineup = Lineup(serving=serving, canary=canary, shadow=shadow)
        used = held.in_use
        self._loaded = {key: each for key, each in self._loaded.items() if key in used}
        names = {sha256 or SETTINGS for sha256 in used}
        self._refused = {key: why for key, why in self._refused.items() if key in names}
        self._generation = held.generation
        self._retry_at = monotonic() + RETRY_S if self._refused else float("inf")
        self._tell()
        if self._said != _named(lineup):
            self._said = _named(lineup)
            logger.info(self._said)
        return lineup

    def _trial(self, holder: Holder) -> Trial | None:
        if holder.sha256 is None:
            return None
        classifier = self._usable(holder)
        return Trial(classifier=classifier, share=holder.share) if classifier else None

    def _usable(self, holder: Holder) -> Classifier | None:
        name = holder.sha256 or SETTINGS
        try:
            classifier = self._load(holder.sha256)
        except (BundleError, OSError) as error:
            if self._refused.get(name) != str(error):
                logger.error("Refused as %s: %s", holder.role.value, error)
            self._refused[name] = str(error)
            return None
        self._refused.pop(name, None)
        return classifier

    def _load(self, sha256: str | None) -> Classifier:
        if sha256 not in self._loaded:
            bundle = self._bundles.load(sha256)
            self._loaded[sha256] = Classifier(bundle, threads=self._threads)
        return self._loaded[sha256]

    def _tell(self) -> None:
        """Write what is refused where `tagger model list` and the metrics find it."""
        if self._told == self._refused:
            return
        now = datetime.now(UTC)
        try:
            with self._sessions.begin() as session:
                registry.forget_refusals(session, self._worker, but=list(self._refused))
                for sha256, reason in self._refused.items():
                    registry.refuse(session, self._worker, sha256, reason, now)
        except UNAVAILABLE:
            return  # told at the next retry
        self._told = dict(self._refused)


def _named(lineup: Lineup) -> str:
    parts = [f"{lineup.serving.manifest.model_version} serves"]
    for role, trial in (("canary", lineup.canary), ("shadow", lineup.shadow)):
        if trial:
            version = trial.classifier.manifest.model_version
            parts.append(f"{version} is {role} on {trial.share:.1%}")
    return ", ".join(parts)
