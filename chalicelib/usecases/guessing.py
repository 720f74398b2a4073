"""Wrong passwords are counted before they are looked at, so that a hundred guesses at once are a hundred guesses."""

import hashlib
import ipaddress
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chalicelib.domain.accounts import ADDRESS_RULE, PERSON_RULE, Audit, Guesses, LockRule
from chalicelib.domain.errors import Locked, TryAgain
from chalicelib.ports import Conflict, Deleted, Deps, Ref

_TRIES = 8
"""As many may count at the same instant as are surely let in turn; the others are asked to try again."""
BUSY = "같은 요청이 처리 중입니다. 잠시 후 다시 시도해 주세요. (under way: try again in a moment)"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose guesses are counted together. name: hashed before it is stored."""

    name: str
    rule: LockRule

    @property
    def ref(self) -> Ref[Guesses]:
        return Ref(Guesses, (hashlib.sha256(self.name.encode(errors="replace")).hexdigest(),))


def subjects_of(email: str, source_ip: str, device_hash: str | None) -> list[Subject]:
    """Everybody counts for the e-mail and for their address. A browser known to have signed in counts for itself alone,
    so that nobody can lock a person out of it from outside.
    """
    if device_hash:
        return [Subject(f"device:{device_hash}", PERSON_RULE)]
    return [Subject(f"email:{email}", PERSON_RULE), Subject(f"address:{_network(source_ip)}", ADDRESS_RULE)]


def _network(source_ip: str) -> str:
    """Who has one IPv6 address has a /64 of them."""
    try:
        address = ipaddress.ip_address(source_ip)
    except ValueError:
        return source_ip
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address.packed, 64), strict=False))


def count(deps: Deps, subjects: Sequence[Subject], note: Callable[[Guesses], Audit | None]) -> None:
    """One guess more, for all of them. note: what to store beside it once it locks the first of them.

    Raises Locked, and then nothing may be looked at; TryAgain if too many count at once.
    """
    for _ in range(_TRIES):
        now = deps.clock.now()
        known = _load(deps, subjects)
        _refuse_locked(known, now)
        counted = [guesses.counted(subject.rule, now) for subject, guesses in zip(subjects, known, strict=True)]
        noted = note(counted[0]) if counted[0].locked_until else None
        try:
            deps.store.commit(*counted, *([noted] if noted else []))
        except Conflict:  # another guess was counted meanwhile: it may have locked
            continue
        return
    raise TryAgain(BUSY)


def _load(deps: Deps, subjects: Sequence[Subject]) -> list[Guesses]:
    found = deps.store.load_many([subject.ref for subject in subjects])
    now = deps.clock.now()
    return [
        guesses or Guesses(subject.ref.parts[0], 0, now)
        for subject, guesses in zip(subjects, found, strict=True)
    ]  # fmt: skip


def _refuse_locked(known: Sequence[Guesses], now: datetime) -> None:
    left = max((guesses.locked_for(now) for guesses in known), default=timedelta())
    if left:
        seconds = math.ceil(left.total_seconds())
        text = f"시도 횟수를 초과했습니다. {seconds}초 후에 다시 시도해 주세요. (locked: try again in {seconds} s)"
        raise Locked(text, seconds)


def forgiven(deps: Deps, subjects: Sequence[Subject]) -> list[Guesses | Deleted]:
    """What to store with a password that was right: the count of who it was for begins anew. An address, which others
    share, gets back this guess alone.
    """
    changes: list[Guesses | Deleted] = []
    for subject, guesses in zip(subjects, _load(deps, subjects), strict=True):
        if guesses.version:
            changes.append(guesses.taken_back() if subject.rule is ADDRESS_RULE else Deleted(guesses))
    return changes


def locks(deps: Deps, emails: Sequence[str]) -> dict[str, datetime]:
    """Who of them is locked out now, and until when. Browsers of theirs that are known may still let them in."""
    now = deps.clock.now()
    subjects = [Subject(f"email:{email}", PERSON_RULE) for email in emails]
    known = zip(emails, _load(deps, subjects), strict=True) if subjects else ()
    return {email: guesses.locked_until for email, guesses in known if guesses.locked_until and guesses.locked_for(now)}
