"""Picking the channel for one payment, and the record of why.

Source of the rules: PortOne's routing guide (reference rules R1-R6, P1-P9); what it leaves open is decided in
docs/adr/. Candidates are enabled channels of the version in force that can take the request; among those with weight
the choice is random by weight; channels at 0 % serve super keys only when no weighted one is left.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from chalicelib.domain.errors import NoChannel


@dataclass(frozen=True, slots=True)
class Candidate:
    channel_key: str
    pg_provider: str
    pg_id: str
    weight: int


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A channel that could not be chosen. code: machine word; message: Korean first; weight: what it was to get."""

    channel_key: str
    pg_provider: str
    code: str
    message: str
    weight: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a payment went where it went. draw: the random number in [0, sum of candidate weights) that chose.

    mode: weighted, standby (0 % channels, uniform), pinned, or direct (no group involved).
    """

    mode: str
    chosen: str
    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...] = ()
    draw: float | None = None
    group_id: str | None = None
    group_version: int | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Choices:
    """The channels a payment may go to, before the draw."""

    candidates: tuple[Candidate, ...]
    exclusions: tuple[Exclusion, ...] = ()
    zero_allowed: bool = False
    """0 % channels may be drawn when no weighted one is left: super keys (rule P5), and standbys on failover."""
    group_id: str | None = None
    group_version: int | None = None
    fixed_mode: str | None = None
    """Set when there is nothing to draw: pinned or direct."""

    def without(self, channel_keys: Sequence[str], *, zero_allowed: bool) -> "Choices":
        """The choices for a failover attempt: those tried are out, 0 % channels are standbys."""
        left = tuple(c for c in self.candidates if c.channel_key not in channel_keys)
        return Choices(left, self.exclusions, zero_allowed, self.group_id, self.group_version)

    def leaving_out(self, unwell: Sequence[Exclusion], *, standbys: bool) -> "Choices":
        """The choices without these channels, unless nobody would be left to draw: then trying them harms nobody.

        So who was named outright stays, being alone. standbys: 0 % channels may stand in for all weighted ones.
        """
        keys = {excluded.channel_key for excluded in unwell}
        left = tuple(c for c in self.candidates if c.channel_key not in keys)
        weighted = any(c.weight for c in left)
        all_weighted_out = not weighted and any(c.weight for c in self.candidates)
        zero_allowed = standbys if all_weighted_out else self.zero_allowed
        if not weighted and not (left and zero_allowed):
            return self
        return replace(self, candidates=left, exclusions=(*self.exclusions, *unwell), zero_allowed=zero_allowed)


def draw(choices: Choices, rng: random.Random, now: datetime) -> Decision:
    """Choose one candidate. Raises NoChannel, naming each exclusion, if there is nothing to choose from."""
    weighted = [c for c in choices.candidates if c.weight > 0]
    if choices.fixed_mode and choices.candidates:
        return _decision(choices, choices.fixed_mode, choices.candidates[0], None, now)
    if weighted:
        point = rng.random() * sum(c.weight for c in weighted)
        return _decision(choices, "weighted", _at(weighted, [c.weight for c in weighted], point), point, now)
    if choices.candidates and choices.zero_allowed:
        point = rng.random() * len(choices.candidates)
        chosen = _at(choices.candidates, [1] * len(choices.candidates), point)
        return _decision(choices, "standby", chosen, point, now)
    raise no_channel(choices)


def no_channel(choices: Choices) -> NoChannel:
    reasons = [(e.channel_key, f"{e.pg_provider}: {e.message}") for e in choices.exclusions]
    if not choices.zero_allowed:
        reasons += [
            (c.channel_key, f"{c.pg_provider}: 비율이 0%입니다. (weight is 0 %)")
            for c in choices.candidates
            if c.weight == 0
        ]
    detail = "; ".join(text for _, text in reasons)
    text = "결제 가능한 채널이 없습니다. (no channel can take this payment)"
    return NoChannel(f"{text} {detail}".strip(), reasons)


def _at(candidates: Sequence[Candidate], weights: Sequence[int], point: float) -> Candidate:
    """The candidate in whose stretch `point` falls; stretches lie end to end in list order."""
    end = 0
    for candidate, weight in zip(candidates, weights, strict=True):
        end += weight
        if point < end:
            return candidate
    return candidates[-1]


def _decision(choices: Choices, mode: str, chosen: Candidate, point: float | None, now: datetime) -> Decision:
    return Decision(
        mode,
        chosen.channel_key,
        choices.candidates,
        choices.exclusions,
        point,
        choices.group_id,
        choices.group_version,
        now,
    )
