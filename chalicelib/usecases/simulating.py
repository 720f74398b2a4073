"""What would happen to payments with a channel group as it stands, as it is reserved, or as somebody is editing it.

The answer comes from the functions that route real payments, upon a routing in which the draft replaces the group, and
from the health of the channels as it is now. Nothing is written, and no gateway is asked.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

from chalicelib.domain.channels import Environment
from chalicelib.domain.charging import Buyer, Card, CardSummary, PaymentRequest
from chalicelib.domain.errors import InvalidRequest, NotFound, Refused
from chalicelib.domain.groups import ChannelGroup, Failover, GroupEntry, GroupVersion
from chalicelib.domain.health import Health
from chalicelib.domain.keys import BillingKey, ChannelKey
from chalicelib.domain.merchants import Routing
from chalicelib.domain.money import Money
from chalicelib.domain.routing import Choices, Exclusion, no_channel
from chalicelib.domain.windows import PayMethod, Way, WindowTerms
from chalicelib.ports import Deps
from chalicelib.usecases.charges import choices_after, fill_buyer, load_key_to_charge, load_to_charge
from chalicelib.usecases.choosing import Plan, Target, plan_for_card, plan_for_key, plan_for_window
from chalicelib.usecases.groups import check_content

NEW_GROUP = "channel-group-draft"
"""Stands for the id of a group that is not saved yet."""
NO_KEYS = "이 채널 그룹으로 발급된 슈퍼 빌링키가 없습니다. (there are no super keys of this group)"
UNKNOWN_KEY = "customer_uid: 등록되지 않은 구매자입니다. (unknown customer_uid)"
NOTHING_RESERVED = "예약된 변경이 없습니다. (no reserved change)"

# --- what is asked ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """A group's content before it is saved. environment: of a new group; a saved one keeps its own."""

    environment: Environment
    failover: Failover
    entries: tuple[GroupEntry, ...]


@dataclass(frozen=True, slots=True)
class CardSample:
    """A one-time payment with card data: which of them the request has, beside number and expiry."""

    birth: bool = False
    password_2digits: bool = False
    cvc: bool = False


@dataclass(frozen=True, slots=True)
class KeySample:
    """A charge on a stored key."""

    customer_uid: str


@dataclass(frozen=True, slots=True)
class KeysSample:
    """Charges on super keys of this group, all as likely as another.

    key_mix: which channels hold a key, and how many super keys are like that.
    """

    key_mix: Sequence[tuple[frozenset[str], int]]


@dataclass(frozen=True, slots=True)
class WindowSample:
    """A payment in a window."""

    pay_method: PayMethod
    account_due: datetime | None = None
    digital: bool | None = None
    customer_id: str | None = None


Sample = CardSample | KeySample | KeysSample | WindowSample


@dataclass(frozen=True, slots=True)
class Wanted:
    """group_id None = a new group. draft None = the group as saved; reserved: the version that is to come."""

    group_id: str | None
    draft: Draft | None
    request: PaymentRequest
    sample: Sample
    reserved: bool = False


def sample_request(
    merchant_uid: str, amount: Money, given: Collection[str], product_type: str | None = None
) -> PaymentRequest:
    """A request with values that fit, of the fields given, in V1's words: `name`, `buyer_name`, `buyer_email`..."""
    buyer = {name: value for name, value in _BUYER.items() if f"buyer_{name}" in given}
    name = "주문" if "name" in given else None
    return PaymentRequest(
        merchant_uid, amount, name, buyer=Buyer(**buyer), product_type=product_type, browser_ip=_BROWSER_IP
    )


_BUYER = {
    "name": "Gildong Hong",
    "email": "buyer@example.com",
    "tel": "010-0000-0000",
    "addr": "서울특별시 중구 세종대로 110",
    "postcode": "04524",
}
_BROWSER_IP = "203.0.113.1"
"""A request always has one: its caller's, if it names none."""

# --- what comes of it -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """share: which part of the payments the channel gets. weight: per cent, as set."""

    channel_key: str
    pg_provider: str
    pg_id: str
    weight: int
    share: Fraction


@dataclass(frozen=True, slots=True)
class Takeover:
    """Who is tried next if `after` was tried first and another channel may be; nobody if shares is empty."""

    after: str
    shares: tuple[Share, ...]


@dataclass(frozen=True, slots=True)
class Simulation:
    """shares: of all channels that can take the request; those at 0 % may have none.

    exclusions: the others, and why. takeovers: by channel that may be tried first; none if failover is off. unserved:
    part that no channel takes. error: what the caller would be told; None as long as some payments are taken.
    combinations: what the result is the mean of, if it is about many keys.
    """

    environment: Environment
    failover: Failover
    shares: tuple[Share, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    takeovers: tuple[Takeover, ...] = ()
    unserved: Fraction = Fraction(0)
    error: str | None = None
    combinations: tuple["Combination", ...] = ()


@dataclass(frozen=True, slots=True)
class Combination:
    """Keys that the same channels hold, and what happens to a charge on one of them."""

    channel_keys: frozenset[str]
    keys: int
    simulation: Simulation


def simulate(deps: Deps, operator_merchant_id: str, wanted: Wanted) -> Simulation:
    """Where payments like this one would go.

    Raises InvalidRequest for a draft that could not be saved, NotFound for a group, a reservation or a key that is not
    there. What would refuse the payment itself is the result's `error`.
    """
    key: BillingKey | None = None
    if isinstance(wanted.sample, KeySample):
        key, found, known = load_key_to_charge(deps, operator_merchant_id, wanted.sample.customer_uid)
        if key is None or found is None:
            raise NotFound(UNKNOWN_KEY)
        routing = found
    else:
        routing, known = load_to_charge(deps, operator_merchant_id)
    group = _group(deps, routing, wanted)
    routing = replace(routing, groups={**routing.groups, group.group_id: group})
    case = _Case(deps, routing, known or Health(operator_merchant_id), group, wanted)
    if isinstance(wanted.sample, KeysSample):
        return _mean(case, [(held, n, case.of_keys(held)) for held, n in wanted.sample.key_mix if n > 0])
    return case.run(lambda: case.plan(key))


def _group(deps: Deps, routing: Routing, wanted: Wanted) -> ChannelGroup:
    """The group that takes part: all that is not asked about, a reservation included, is out of the way."""
    now = deps.clock.now()
    saved = routing.group(wanted.group_id).settled(now) if wanted.group_id else None
    if wanted.draft:
        environment = saved.environment if saved else wanted.draft.environment
        check_content(routing, environment, wanted.draft.entries)
        version = GroupVersion(0, "", wanted.draft.failover, wanted.draft.entries, now, now, "")
        return ChannelGroup(wanted.group_id or NEW_GROUP, environment, version)
    if saved is None:
        raise InvalidRequest("group_id", "group_id: 채널 그룹을 지정해 주세요. (no group and no draft)")
    if not wanted.reserved:
        return replace(saved, reserved=None)
    if saved.reserved is None:
        raise NotFound(NOTHING_RESERVED)
    return replace(saved, current=saved.reserved, reserved=None)


# --- one payment ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Case:
    deps: Deps
    routing: Routing
    health: Health
    group: ChannelGroup
    wanted: Wanted

    def plan(self, key: BillingKey | None) -> Plan:
        """As the request's own use case makes it. Raises Refused."""
        gateways, now = self.deps.gateways, self.deps.clock.now()
        target, request = Target(group_id=self.group.group_id), self.wanted.request
        match self.wanted.sample:
            case CardSample() as sample:
                return plan_for_card(gateways, self.routing, target, request, _card(sample), now)
            case WindowSample() as sample:
                return plan_for_window(gateways, self.routing, target, request, _terms(sample), now)
        assert key
        request = replace(request, buyer=fill_buyer(request, key))
        return plan_for_key(gateways, self.routing, key, target, request, now)

    def of_keys(self, held: frozenset[str]) -> Simulation:
        """For a super key that these channels hold."""
        return self.run(lambda: self.plan(self._super_key(held)))

    def run(self, make_plan: Callable[[], Plan]) -> Simulation:
        try:
            plan = make_plan()
        except Refused as error:
            failover = self.group.current.failover
            return Simulation(self.group.environment, failover, unserved=Fraction(1), error=error.message)
        avoiding = plan.avoiding(self.health)
        choices = avoiding.choices
        shares = _shares(choices)
        taken = any(share.share for share in shares)
        return Simulation(
            environment=plan.environment,
            failover=plan.failover,
            shares=shares,
            exclusions=choices.exclusions,
            takeovers=tuple(self._takeover(plan, avoiding, share.channel_key) for share in shares if share.share)
            if plan.failover is not Failover.OFF
            else (),
            unserved=Fraction(0 if taken else 1),
            error=None if taken else no_channel(choices).message,
        )

    def _takeover(self, plan: Plan, avoiding: Plan, tried: str) -> Takeover:
        """A window that does not open goes anywhere else: nothing is at stake, and what is down may open."""
        if isinstance(self.wanted.sample, WindowSample):
            choices = plan.choices.without([tried], zero_allowed=True)
        else:
            choices = choices_after(self.deps, self.routing, avoiding, [tried])
        return Takeover(tried, tuple(share for share in _shares(choices) if share.share))

    def _super_key(self, held: frozenset[str]) -> BillingKey:
        now = self.deps.clock.now()
        channels = {
            key: ChannelKey(key, channel.pg_provider, channel.pg_id, "", CardSummary(), now, now)
            for key, channel in self.routing.channels.items()
            if key in held
        }
        return BillingKey(
            self.routing.merchant_id, "", self.group.environment, channels, now, now, group_id=self.group.group_id
        )


def _card(sample: CardSample) -> Card:
    """Of no number: routing asks only which fields there are."""
    birth, password, cvc = ("-" if there else None for there in (sample.birth, sample.password_2digits, sample.cvc))
    return Card("", "", "", birth, password, cvc)


def _terms(sample: WindowSample) -> WindowTerms:
    return WindowTerms(
        pay_method=sample.pay_method,
        way=Way.FRAME,
        page_origin="",
        secret_digest="",
        account_due=sample.account_due,
        digital=sample.digital,
        customer_id=sample.customer_id,
    )


def _shares(choices: Choices) -> tuple[Share, ...]:
    """Every candidate with its chance to be drawn (`domain.routing.draw`), exactly."""
    chances = _chances(choices)
    return tuple(
        Share(candidate.channel_key, candidate.pg_provider, candidate.pg_id, candidate.weight, chance)
        for candidate, chance in zip(choices.candidates, chances, strict=True)
    )


def _chances(choices: Choices) -> list[Fraction]:
    """Per candidate; all 0 if there is nothing to draw from."""
    count, total = len(choices.candidates), sum(candidate.weight for candidate in choices.candidates)
    if choices.fixed_mode:
        return [Fraction(n == 0) for n in range(count)]
    if total:
        return [Fraction(candidate.weight, total) for candidate in choices.candidates]
    return [Fraction(int(choices.zero_allowed), count) for _ in range(count)]


# --- many keys --------------------------------------------------------------------------------------------------


def _mean(case: _Case, parts: Sequence[tuple[frozenset[str], int, Simulation]]) -> Simulation:
    """What becomes of all these keys, each charged once."""
    combinations = tuple(Combination(*part) for part in parts)
    environment, failover = case.group.environment, case.group.current.failover
    total = sum(part.keys for part in combinations)
    if not total:
        return Simulation(environment, failover, error=NO_KEYS)  # of nothing, no part is unserved
    weighed = [(Fraction(part.keys, total), part.simulation) for part in combinations]
    order = [entry.channel_key for entry in case.group.current.entries]
    shares = sorted(_sum([(part, one.shares) for part, one in weighed]), key=lambda s: order.index(s.channel_key))
    unserved = sum((part * one.unserved for part, one in weighed), Fraction(0))
    exclusions = dict.fromkeys(excluded for _, one in weighed for excluded in one.exclusions)
    return Simulation(
        environment=environment,
        failover=failover,
        shares=tuple(shares),
        exclusions=tuple(exclusions),
        takeovers=tuple(_mean_takeover(share, weighed) for share in shares if share.share)
        if failover is not Failover.OFF
        else (),
        unserved=unserved,
        error=next((one.error for _, one in weighed if one.error), None) if unserved == 1 else None,
        combinations=combinations,
    )


def _mean_takeover(first: Share, weighed: Sequence[tuple[Fraction, Simulation]]) -> Takeover:
    """Of those keys alone that would be charged at `first`."""
    found = []
    for part, one in weighed:
        chance = next((share.share for share in one.shares if share.channel_key == first.channel_key), Fraction(0))
        after = (takeover.shares for takeover in one.takeovers if takeover.after == first.channel_key)
        found += [(part * chance / first.share, shares) for shares in after]
    return Takeover(first.channel_key, _sum(found))


def _sum(weighed: Sequence[tuple[Fraction, Sequence[Share]]]) -> tuple[Share, ...]:
    """The shares of each channel added up, each list counting as much as its part."""
    added: dict[str, Share] = {}
    for part, shares in weighed:
        for share in shares:
            known = added.get(share.channel_key, replace(share, share=Fraction(0)))
            added[share.channel_key] = replace(known, share=known.share + part * share.share)
    return tuple(added.values())
