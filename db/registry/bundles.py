"""Which bundle serves: reading and changing it. The caller owns the transaction."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ScalarSelect, delete, func, or_, select
from sqlalchemy.orm import Session

from catalog.bundle import Manifest
from catalog.errors import OperatorError
from db.ledger.heartbeats import beating
from db.ledger.models import Model
from db.registry.models import Assignment, BundleRefusal, Change, RegisteredBundle, Role
from db.upsert import insert

PREFIX_LENGTH_MIN = 6


class RegistryError(OperatorError):
    """What was asked of the registry cannot be done: says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who has a role; sha256 and version None: the settings' bundle, or nobody.

    share: of the products, 0-1.
    """

    role: Role
    sha256: str | None = None
    version: str | None = None
    share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Roles:
    """All roles at one instant; generation grows with every change."""

    generation: int
    serving: Holder
    canary: Holder
    shadow: Holder

    @property
    def in_use(self) -> set[str | None]:
        """The sha256 of every bundle with a role."""
        return {each.sha256 for each in (self.serving, self.canary, self.shadow)}


def generation() -> ScalarSelect[int]:
    """How many changes there were: what a worker asks for at each heartbeat.

    A count and not the newest id, which on PostgreSQL may be committed before an older one.
    """
    return select(func.count()).select_from(Assignment).scalar_subquery()


def beat_and_look(
    session: Session, name: str, kind: str, now: datetime, detail: Mapping[str, Any]
) -> int:
    """Write a sign of life and return the registry's generation, in one statement."""
    statement = beating(session, name, kind, now, detail)
    return session.scalars(statement.returning(generation())).one()


def roles(session: Session) -> Roles:
    """Who serves, and who else looks at products."""
    # First: in PostgreSQL each statement sees what was committed before it. A change between the
    # two then comes with too low a generation, and is read once more; the other way round it would
    # be missed, and its generation taken for known.
    number = session.scalar(select(generation())) or 0
    newest = select(func.max(Assignment.id)).group_by(Assignment.role)
    rows = session.execute(
        select(Assignment.role, Assignment.sha256, RegisteredBundle.version, Assignment.share)
        .outerjoin(RegisteredBundle, RegisteredBundle.sha256 == Assignment.sha256)
        .where(Assignment.id.in_(newest))
    )
    held = {
        role: Holder(role=Role(role), sha256=sha256, version=version, share=share)
        for role, sha256, version, share in rows
    }
    return Roles(
        generation=number,
        **{role.value: held.get(role.value, Holder(role=role)) for role in Role},
    )


def register(
    session: Session,
    sha256: str,
    manifest: Manifest,
    deciding_sha256: str,
    *,
    by: str,
    now: datetime,
) -> bool:
    """Write a bundle's row; False where it is there already.

    deciding_sha256: what catalog.bundle_store.deciding_sha256 gives.

    Raises:
        RegistryError: another bundle has this version and would tag otherwise: taggings name
            their model by version, and nobody could tell whose they are.
    """
    if session.get(RegisteredBundle, sha256) is not None:
        return False
    clash = session.scalars(
        select(RegisteredBundle)
        .where(RegisteredBundle.version == manifest.model_version)
        .where(RegisteredBundle.deciding_sha256 != deciding_sha256)
    ).first()
    if clash is not None:
        raise RegistryError(
            f"Expected a version of its own for a bundle that tags otherwise, found "
            f"{manifest.model_version} registered with sha256 {clash.sha256[:12]}. "
            "Publish it under another model_version."
        )
    session.add(
        RegisteredBundle(
            sha256=sha256,
            version=manifest.model_version,
            deciding_sha256=deciding_sha256,
            created_at=manifest.created_at[:40],
            metrics=dict(manifest.metrics),
            added_at=now,
            added_by=by[:64],
        )
    )
    session.flush()
    return True


def find(session: Session, name: str) -> RegisteredBundle:
    """The bundle of a version, the latest added of several, or of the start of a sha256.

    Raises:
        RegistryError: there is none, or more than one.
    """
    named = RegisteredBundle.version == name
    if len(name) >= PREFIX_LENGTH_MIN:
        named = or_(named, RegisteredBundle.sha256.startswith(name, autoescape=True))
    statement = select(RegisteredBundle).where(named).order_by(RegisteredBundle.added_at.desc())
    found = session.scalars(statement).all()
    if not found:
        raise RegistryError(
            f"Expected a registered version or the first {PREFIX_LENGTH_MIN} or more digits of a "
            f"sha256, found {name!r}. `tagger model list` shows what there is."
        )
    if len({each.version for each in found}) > 1:
        raise RegistryError(
            f"Expected one bundle, found {len(found)} whose sha256 begins with {name!r}. "
            "Write more of it."
        )
    return found[0]


def promote(
    session: Session,
    bundle: RegisteredBundle,
    *,
    by: str,
    now: datetime,
    forced: bool = False,
    evidence: dict[str, Any] | None = None,
) -> Assignment:
    """Let a bundle serve; where it was canary or shadow, that ends.

    Raises:
        RegistryError: it serves already.
    """
    held = roles(session)
    if held.serving.sha256 == bundle.sha256:
        raise RegistryError(f"{bundle.version} serves already; nothing was changed.")
    for trial in (held.canary, held.shadow):
        if trial.sha256 == bundle.sha256:
            retire(session, trial.role, by=by, now=now)
    return _assign(
        session, Change.PROMOTE, held.serving, bundle.sha256, 1.0, by, now, forced, evidence
    )


def rollback(session: Session, *, by: str, now: datetime) -> Assignment:
    """Let that bundle serve again which did before the one that serves was promoted.

    Raises:
        RegistryError: none was ever promoted, or all promotions are rolled back.
    """
    before = _promoted(session)
    if not before:
        raise RegistryError(
            "Expected a promotion to take back, found none: the bundle of TAGGER_BUNDLE serves."
        )
    target = before[-2] if len(before) > 1 else None
    serving = roles(session).serving
    return _assign(session, Change.ROLLBACK, serving, target, 1.0, by, now, False, None)


def try_out(
    session: Session, role: Role, bundle: RegisteredBundle, share: float, *, by: str, now: datetime
) -> Assignment:
    """Let a bundle be canary or shadow on a share of the products.

    Raises:
        RegistryError: it serves.
    """
    held = roles(session)
    if held.serving.sha256 == bundle.sha256:
        raise RegistryError(f"{bundle.version} serves; there is nothing to compare it with.")
    holder = held.canary if role is Role.CANARY else held.shadow
    return _assign(session, Change.TRY, holder, bundle.sha256, share, by, now, False, None)


def retire(session: Session, role: Role, *, by: str, now: datetime) -> Assignment:
    """End the canary or the shadow.

    Raises:
        RegistryError: there is none.
    """
    held = roles(session)
    holder = held.canary if role is Role.CANARY else held.shadow
    if holder.sha256 is None:
        raise RegistryError(f"Expected a {role.value} to retire, found none.")
    return _assign(session, Change.RETIRE, holder, None, 0.0, by, now, False, None)


def served_before(session: Session) -> list[str | None]:
    """What a worker falls back on when the serving bundle cannot be used: best first.

    None stands for the settings' bundle, which is always the last.
    """
    earlier = _promoted(session)[-2::-1]
    return [*dict.fromkeys(earlier), None]


def has_tagged(session: Session, version: str) -> bool:
    """Whether a model of this version, registered or not, ever tagged anything here."""
    return session.get(Model, version) is not None


def bundles(session: Session) -> Sequence[RegisteredBundle]:
    """All of them, the latest added first."""
    newest = RegisteredBundle.added_at.desc()
    return session.scalars(select(RegisteredBundle).order_by(newest)).all()


def history(session: Session, limit: int) -> Iterator[tuple[Assignment, str | None, str | None]]:
    """Changes, the latest first, with the versions they went to and came from."""
    versions = {each.sha256: each.version for each in bundles(session)}
    newest = select(Assignment).order_by(Assignment.id.desc()).limit(limit)
    for each in session.scalars(newest):
        yield each, versions.get(each.sha256 or ""), versions.get(each.from_sha256 or "")


def refuse(session: Session, worker: str, sha256: str, reason: str, now: datetime) -> None:
    """Write that a worker does not use a bundle, and why."""
    row = {"worker": worker, "sha256": sha256, "reason": reason[:2000], "refused_at": now}
    statement = insert(session, BundleRefusal).values(row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[BundleRefusal.worker, BundleRefusal.sha256],
            set_={"reason": statement.excluded.reason, "refused_at": statement.excluded.refused_at},
        )
    )


def forget_refusals(session: Session, worker: str, *, but: Sequence[str] = ()) -> None:
    """Take back what a worker refused and now uses, or need no longer use."""
    mine = delete(BundleRefusal).where(BundleRefusal.worker == worker)
    session.execute(mine.where(BundleRefusal.sha256.not_in(but)))


def refusals(session: Session) -> Sequence[BundleRefusal]:
    """What workers refuse at this time."""
    order = BundleRefusal.sha256, BundleRefusal.worker
    return session.scalars(select(BundleRefusal).order_by(*order)).all()


def _promoted(session: Session) -> list[str | None]:
    """The promotions that stand, oldest first; the last serves."""
    rows = session.execute(
        select(Assignment.change, Assignment.sha256)
        .where(Assignment.role == Role.SERVING)
        .order_by(Assignment.id)
    )
    stack: list[str | None] = []
    for change, sha256 in rows:
        if change == Change.PROMOTE:
            stack.append(sha256)
        elif stack:
            stack.pop()
    return stack


def _assign(
    session: Session,
    change: Change,
    before: Holder,
    sha256: str | None,
    share: float,
    by: str,
    now: datetime,
    forced: bool,
    evidence: dict[str, Any] | None,
) -> Assignment:
    row = Assignment(
        role=before.role.value,
        change=change.value,
        sha256=sha256,
        from_sha256=before.sha256,
        share=share,
        forced=forced,
        evidence=evidence,
        assigned_at=now,
        assigned_by=by[:64],
    )
    session.add(row)
    session.flush()
    return row
