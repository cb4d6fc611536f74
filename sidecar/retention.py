"""Which copies may go: a pure plan from a list of copies, without I/O and without a clock.

A copy is kept by `keep_last` (the newest N), by `keep_within` (younger than an age) or by both
being unset. Only verified copies count towards N; a damaged one goes when N newer ones are
verified, as it would have gone if it were sound: a verdict alone deletes nothing. The floor: the
newest verified copy that can be restored is never planned for deletion, whatever the policy, and
where there is none, nothing is. Held copies stay and count.
Boot and safety snapshots go by a count of their own; manual ones are never planned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sidecar.model import Copy, CopyState, Retention

KEEP_SECONDS_MAX = 1000 * 365 * 86400  # more is for ever; no instant lies so far back


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What stays and what may go; made without changing anything."""

    kept: tuple[Copy, ...]
    doomed: tuple[Copy, ...]


def plan_retention(copies: Sequence[Copy], policy: Retention, now: datetime) -> RetentionPlan:
    """Plan for one schedule on one backend; tombstoned copies are neither kept nor doomed."""
    living = sorted(
        (copy for copy in copies if copy.state is not CopyState.DELETING),
        key=_age_key,
        reverse=True,
    )
    verified = [copy for copy in living if copy.state is CopyState.AVAILABLE]
    kept_ids = {copy.manifest.snapshot_id for copy in living if copy.is_held}
    kept_ids |= {copy.manifest.snapshot_id for copy in verified[:1]}  # the floor
    if not verified or (policy.keep_last is None and policy.keep_within_seconds is None):
        kept_ids |= {copy.manifest.snapshot_id for copy in living}
    if policy.keep_last is not None:
        counted = verified[: policy.keep_last]
        is_full = len(counted) == policy.keep_last
        oldest_kept = _age_key(counted[-1]) if is_full else None
        kept_ids |= {
            copy.manifest.snapshot_id
            for copy in living
            if oldest_kept is None or _age_key(copy) >= oldest_kept
        }
    if policy.keep_within_seconds is not None:
        oldest = now - timedelta(seconds=min(policy.keep_within_seconds, KEEP_SECONDS_MAX))
        kept_ids |= {c.manifest.snapshot_id for c in living if c.manifest.cut_at > oldest}
    kept = tuple(copy for copy in living if copy.manifest.snapshot_id in kept_ids)
    doomed = tuple(copy for copy in living if copy.manifest.snapshot_id not in kept_ids)
    return RetentionPlan(kept, doomed)


def newest_verified(copies: Sequence[Copy]) -> Copy | None:
    """Return the newest copy that can be restored."""
    verified = [copy for copy in copies if copy.state is CopyState.AVAILABLE]
    return max(verified, key=_age_key, default=None)


def _age_key(copy: Copy) -> tuple[datetime, str]:
    return copy.manifest.cut_at, copy.manifest.snapshot_id
