"""What changed between two versions of a channel group, item by item, for people to read.

A version is compared as a `GroupVersion`, or as the audit trail keeps it (`usecases.groups.shown_version`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from chalicelib.domain.groups import Failover, GroupEntry, GroupVersion

Version = GroupVersion | Mapping[str, Any]
Value = str | int | GroupEntry | tuple[str, ...] | None


class ChangeKind(StrEnum):
    NAME = "name"
    FAILOVER = "failover"
    ADDED = "channel_added"
    REMOVED = "channel_removed"
    WEIGHT = "weight"
    ENABLED = "enabled"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. channel_key: the channel that it is about; None for what is about the whole group.

    before, after: of NAME and FAILOVER texts, of WEIGHT per cent, of ENABLED truth values, of ADDED and REMOVED the
    entry on one side, of ORDER the keys of the channels that both versions have.
    """

    kind: ChangeKind
    before: Value
    after: Value
    channel_key: str | None = None


def diff(before: Version | None, after: Version | None) -> Sequence[Change]:
    """The changes from one version to another; none if they have the same content. None = there is no group.

    When a version begins, and who saved it, is not content.
    """
    old, new = _version(before), _version(after)
    changes = [Change(kind, a, b) for kind, a, b in _headings(old, new) if a != b]
    was = {entry.channel_key: entry for entry in old.entries} if old else {}
    now = {entry.channel_key: entry for entry in new.entries} if new else {}
    changes += [Change(ChangeKind.REMOVED, entry, None, key) for key, entry in was.items() if key not in now]
    for key, entry in now.items():
        if key not in was:
            changes.append(Change(ChangeKind.ADDED, None, entry, key))
            continue
        if was[key].weight != entry.weight:
            changes.append(Change(ChangeKind.WEIGHT, was[key].weight, entry.weight, key))
        if was[key].enabled != entry.enabled:
            changes.append(Change(ChangeKind.ENABLED, was[key].enabled, entry.enabled, key))
    kept, order = (tuple(k for k in side if k in was and k in now) for side in (was, now))
    if kept != order:
        changes.append(Change(ChangeKind.ORDER, kept, order))
    return changes


def read_version(shown: Mapping[str, Any]) -> GroupVersion:
    """A version as the audit trail keeps it. Instants are whole seconds there."""
    return GroupVersion(
        number=shown["version"],
        name=shown["name"],
        failover=Failover(shown["failover"]),
        entries=tuple(GroupEntry(e["channel_key"], e["weight"], e["enabled"]) for e in shown["channels"]),
        effective_at=datetime.fromtimestamp(shown["begin_at"], UTC),
        saved_at=datetime.fromtimestamp(shown["saved_at"], UTC),
        saved_by=shown["saved_by"],
    )


def _version(version: Version | None) -> GroupVersion | None:
    return version if version is None or isinstance(version, GroupVersion) else read_version(version)


def _headings(old: GroupVersion | None, new: GroupVersion | None) -> list[tuple[ChangeKind, str | None, str | None]]:
    return [
        (ChangeKind.NAME, old.name if old else None, new.name if new else None),
        (ChangeKind.FAILOVER, old.failover.value if old else None, new.failover.value if new else None),
    ]
