"""What payments and keys are counted as: per channel and hour, per group and hour, per set of channels that hold a key.

These say what one entity adds to the counters; storage.tallies keeps the counters, and usecases.statistics reads them.
An attempt counts once it has an outcome; a payment counts for its group from then on. Test charges count nowhere.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction

from chalicelib.domain.payments import VIRTUAL_ACCOUNT, Attempt, Payment, State
from chalicelib.domain.routing import Decision

HOUR = 3600
WHOLE = 10_000
"""One payment, in the parts in which shares are counted."""

LATENCIES = (100, 200, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 7000, 10_000, 15_000, 20_000, 30_000, 60_000)
"""Upper ends of the histogram's buckets, in milliseconds; what takes longer is in one more."""
LONGER = "longer"

_NOT_ASKED = ("disabled", "removed")
"""Codes of exclusions by which the operator has taken a channel out: nothing is asked of it."""


def hour_slot(at: datetime) -> str:
    """The hour's name among counters: whole hours since 1970, as text that sorts like the number."""
    return f"{int(at.timestamp()) // HOUR:08d}"


def of_attempt(payment: Payment, attempt: Attempt) -> dict[str, int]:
    """What one attempt adds to its channel's hour; {} while it is under way.

    Its outcome's name; `reason_` and why, if declined; `ms_` and the bucket of its latency, if it was sent; `amount_`
    and the currency, if approved: minor units, before refunds.
    """
    if attempt.outcome is None or payment.to_be_voided:
        return {}
    outcome = attempt.outcome
    if outcome == "approved" and payment.pay_method == VIRTUAL_ACCOUNT and payment.state is not State.PAID:
        outcome = "issued"  # the bank has taken the deposit back
    counts = {outcome: 1}
    if outcome == "declined" and attempt.reason:
        counts[f"reason_{attempt.reason}"] = 1
    if attempt.took_ms is not None and outcome != "not_sent":
        counts[f"ms_{bucket(attempt.took_ms)}"] = 1
    if outcome == "approved":
        counts[f"amount_{payment.request.amount.currency}"] = payment.request.amount.amount
    return {name: number for name, number in counts.items() if number}


def bucket(took_ms: int) -> str:
    n = bisect_left(LATENCIES, took_ms)
    return str(LATENCIES[n]) if n < len(LATENCIES) else LONGER


def of_payment(payment: Payment) -> dict[str, int]:
    """What a payment that a group decided on adds to the group's hour; {} for others, and until an attempt has ended.

    `payments`; `asked:` and a channel: the part of it, in 1/10000, that the weights in force ask for that channel;
    `delivered:` and the channel of its last attempt.
    """
    decision = group_decision(payment)
    if decision is None or not payment.attempts[0].outcome or payment.to_be_voided:
        return {}
    parts = asked(decision)
    counts = {"payments": 1, **{f"asked:{key}": part for key, part in parts.items() if part}}
    counts[f"delivered:{payment.attempt.channel_key}"] = 1
    return counts


def group_decision(payment: Payment) -> Decision | None:
    """The draw that the payment began with; None if there was nothing to draw."""
    first = payment.attempts[0].decision if payment.attempts else None
    drawn = first is not None and first.group_id is not None and first.mode in ("weighted", "standby")
    return first if drawn else None


def asked(decision: Decision) -> dict[str, int]:
    """How the group's enabled channels share one payment by their weights, in parts of 10,000 that add up.

    A channel that could not take this payment is asked for all the same: what it was to get, others get in its place.
    """
    weights = {c.channel_key: c.weight for c in decision.candidates}
    weights |= {e.channel_key: e.weight for e in decision.exclusions if e.code not in _NOT_ASKED}
    return parts_of(weights)


def parts_of(weights: Mapping[str, int]) -> dict[str, int]:
    """`shares_of` in whole parts of 10,000. What rounding leaves over goes to the largest remainders."""
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1)
    total = sum(weights.values())
    parts = {key: weight * WHOLE // total for key, weight in weights.items()}
    if left := WHOLE - sum(parts.values()):
        by_remainder = sorted(weights, key=lambda key: (-(weights[key] * WHOLE % total), key))
        for key in by_remainder[:left]:
            parts[key] += 1
    return parts


def shares_of(weights: Mapping[str, int]) -> dict[str, Fraction]:
    """Each one's share by its weight; the same for all where none has weight (0 % channels are drawn uniformly)."""
    total = sum(weights.values())
    if not total:
        return {key: Fraction(1, len(weights)) for key in weights}
    return {key: Fraction(weight, total) for key, weight in weights.items()}


def quantile(histogram: Mapping[str, int], q: float) -> int | None:
    """About how many milliseconds the share `q` of all took at most; None if there are none.

    histogram: bucket -> how many, taken to be evenly spread in it. What took longer than the last end counts as that.
    """
    wanted = q * sum(histogram.values())
    if not wanted:
        return None
    seen, low = 0, 0
    for end in LATENCIES:
        here = histogram.get(str(end), 0)
        if here and seen + here >= wanted:
            return round(low + (end - low) * (wanted - seen) / here)
        seen, low = seen + here, end
    return LATENCIES[-1]


def key_shares(
    combinations: Sequence[tuple[frozenset[str], int]], weights: Mapping[str, int]
) -> tuple[dict[str, Fraction], int]:
    """How charges on super keys spread over channels, if each key is charged as often, and the keys that none can take.

    combinations: a set of channels, and how many keys they hold. weights: of the enabled channels. Among those that
    hold a key the draw is by weight, or uniform where all of them have none (rule P5).
    """
    shares = dict.fromkeys(weights, Fraction())
    chargeable = stranded = 0
    for held, number in combinations:
        usable = {key: weight for key, weight in weights.items() if key in held}
        if not usable:
            stranded += number
            continue
        chargeable += number
        for key, share in shares_of(usable).items():
            shares[key] += share * number
    return {key: share / chargeable if chargeable else share for key, share in shares.items()}, stranded
