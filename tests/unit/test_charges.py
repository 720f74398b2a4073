"""Charging through real adapters and simulators: who is picked, what is written, what is never sent twice."""

from dataclasses import replace

import pytest

from chalicelib.domain.errors import NoChannel, Refused, TryAgain
from chalicelib.domain.orders import Order
from chalicelib.domain.payments import State
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, charges, lookups
from chalicelib.usecases.choosing import Target
from tests.support.world import CARD, NO_FUNDS, STOLEN, request


def onetime(world, uid="order-0001", card=CARD, target=None, **kwargs):
    return charges.charge_card(world.deps, world.merchant_id, request(uid, **kwargs), card, target or Target())


def issue(world, uid="customer-1", card=CARD, target=None):
    wanted = billing_keys.Issue(uid, card, target or Target(), customer_id="buyer1")
    return billing_keys.issue(world.deps, world.merchant_id, wanted)


def again(world, uid="order-0001", customer="customer-1", target=None, **kwargs):
    return charges.charge_key(world.deps, world.merchant_id, customer, request(uid, **kwargs), target or Target())


def test_a_card_is_charged_once_and_the_decision_is_kept(world):
    group = world.two_gateways()
    payment = onetime(world)
    assert payment.state is State.PAID
    assert [t["amount"] for t in world.captured()] == [8900]
    stored = lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid)
    decision = stored.attempt.decision
    assert decision.mode == "weighted"
    assert decision.group_id == group.group_id
    assert [c.weight for c in decision.candidates] == [60, 40]
    assert 0 <= decision.draw < 100
    assert world.captured()[0]["order_id"] == stored.attempt.order_id


def test_round_trips_of_onetime_and_again(world):
    world.two_gateways()
    world.store.calls.clear()
    onetime(world)
    assert world.store.calls == ["load", "commit", "commit"]
    world.store.calls.clear()
    issue(world)
    assert world.store.calls == ["load", "commit"]
    world.store.calls.clear()
    again(world, "order-0002")
    assert world.store.calls == ["load", "commit", "commit"]


def test_shares_follow_the_weights(world):
    world.two_gateways((25, 75))
    issue(world)
    for n in range(120):
        again(world, f"order-{n:04d}")
    share = len(world.captured("tosspayments")) / 120
    assert 0.13 < share < 0.37


def test_a_merchant_uid_is_charged_once(world):
    world.two_gateways()
    onetime(world)
    with pytest.raises(Refused, match="merchant_uid"):
        onetime(world)
    assert len(world.captured()) == 1


def test_a_merchant_uid_is_free_again_after_a_failure(world):
    world.two_gateways(failover="off")
    failed = onetime(world, card=STOLEN)
    assert failed.state is State.FAILED
    assert failed.fail_reason
    assert failed.attempt.reason.value in ("lost_or_stolen", "issuer_declined", "card_blocked")
    paid = onetime(world)
    assert paid.state is State.PAID
    order = world.store.load(Ref(Order, (world.merchant_id, "order-0001")))
    assert order.imp_uids == (failed.imp_uid, paid.imp_uid)
    assert len(world.captured()) == 1


def test_a_hard_decline_is_never_tried_elsewhere(world):
    world.two_gateways((100, 0), failover="declined")
    assert onetime(world, card=STOLEN).state is State.FAILED
    assert len([t for box in world.sandboxes.values() for t in box.transactions()]) == 1


def test_an_unknown_outcome_is_ready_and_is_settled_by_asking(world):
    world.two_gateways((100, 0))
    world.webhook_url("https://shop.example/hook")
    world.sandboxes["tosspayments"].fail("charge", "reply_lost")
    payment = onetime(world)
    assert payment.state is State.UNKNOWN
    assert payment.v1_status == "ready"
    with pytest.raises(Refused):
        onetime(world)
    world.run_to_quiet()
    settled = lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid)
    assert settled.state is State.PAID
    assert len(world.captured()) == 1
    assert [body for _, body, _ in world.sender.sent] == [
        f'{{"imp_uid": "{payment.imp_uid}", "merchant_uid": "order-0001", "status": "paid"}}'.encode()
    ]


def test_an_unknown_outcome_without_a_transaction_fails_only_after_the_settling_delay(world):
    world.two_gateways((100, 0))
    world.sandboxes["tosspayments"].fail("charge", "http_500")
    payment = onetime(world)
    assert payment.state is State.UNKNOWN
    world.clock.advance(seconds=30)
    world.run_queue()
    assert lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid).state is State.UNKNOWN
    world.run_to_quiet()
    settled = lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid)
    assert settled.state is State.FAILED
    assert (settled.failed_at - payment.started_at).total_seconds() >= 600
    assert onetime(world).state is State.PAID
    assert len(world.captured()) == 1


def test_what_was_surely_not_sent_goes_to_another_channel(world):
    world.two_gateways((100, 0), failover="unsent")
    world.sandboxes["tosspayments"].fail("charge", "refuse")
    payment = onetime(world)
    assert payment.state is State.PAID
    assert [a.pg_provider for a in payment.attempts] == ["tosspayments", "nice_v2"]
    assert [a.outcome for a in payment.attempts] == ["not_sent", "approved"]
    assert payment.attempt.decision.mode == "standby"
    assert len(world.captured()) == 1


def test_without_failover_what_was_not_sent_has_failed(world):
    world.two_gateways((100, 0), failover="off")
    world.sandboxes["tosspayments"].fail("charge", "refuse")
    payment = onetime(world)
    assert payment.state is State.FAILED
    assert not world.captured()


def test_a_wrong_amount_is_never_paid_and_is_given_back(world):
    world.two_gateways((100, 0))
    world.sandboxes["tosspayments"].fail("charge", "wrong_amount")
    payment = onetime(world)
    assert payment.state is State.UNKNOWN
    world.run_to_quiet()
    settled = lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid)
    assert settled.state is State.FAILED
    assert not world.captured()


def test_a_super_key_holds_every_enabled_channel(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    group = world.group([(toss, 100), (nice, 0)])
    key = issue(world, target=Target(group_id=group.group_id))
    assert list(key.channels) == [toss, nice]
    assert again(world).attempt.pg_provider == "tosspayments"


def test_a_zero_per_cent_channel_is_charged_when_no_weighted_one_holds_a_key(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(toss, 0), (nice, 100, False)])
    issue(world)
    payment = again(world)
    assert payment.attempt.channel_key == toss
    assert payment.attempt.decision.mode == "standby"
    assert [e.code for e in payment.attempt.decision.exclusions] == ["disabled"]


def test_zero_per_cent_is_not_drawn_for_one_time_charges(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(toss, 0), (nice, 100, False)])
    with pytest.raises(NoChannel) as error:
        onetime(world)
    assert {key for key, _ in error.value.exclusions} == {toss, nice}
    assert not world.store.load(Ref(Order, (world.merchant_id, "order-0001")))


def test_a_pin_is_charged_at_zero_per_cent_and_refused_where_it_cannot_be(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    group = world.group([(toss, 100), (nice, 0)])
    issue(world)
    assert again(world, "pinned-1", target=Target(channel_key=nice)).attempt.channel_key == nice
    from chalicelib.domain.groups import Failover, GroupEntry
    from chalicelib.usecases import groups

    content = groups.GroupContent("default", Failover.OFF, (GroupEntry(toss, 100), GroupEntry(nice, 0, enabled=False)))
    groups.update(world.deps, world.admin, group.group_id, content)
    with pytest.raises(Refused, match="nice_v2"):
        again(world, "pinned-2", target=Target(channel_key=nice))
    with pytest.raises(Refused, match="channel_key"):
        again(world, "pinned-3", target=Target(channel_key="channel-key-unknown"))
    assert len(world.captured()) == 1


def test_a_constraint_excludes_the_channel_and_says_why(world):
    toss, nice = world.channel("tosspayments"), world.channel("nice_v2")
    world.group([(toss, 50), (nice, 50)])
    payment = onetime(world, card=replace(CARD, password_2digits=None))
    assert payment.attempt.channel_key == toss
    (excluded,) = payment.attempt.decision.exclusions
    assert (excluded.channel_key, excluded.code) == (nice, "constraint")
    assert excluded.message.startswith("pwd_2digit")


def test_if_no_channel_can_take_it_the_error_names_each(world):
    world.two_gateways()
    with pytest.raises(NoChannel) as error:
        onetime(world, card=replace(CARD, birth=None))
    assert "tosspayments: birth" in error.value.message
    assert "nice_v2: birth" in error.value.message


def test_an_unregistered_buyer_is_refused(world):
    world.two_gateways()
    with pytest.raises(Refused, match="등록되지 않은 구매자입니다."):
        again(world)


def test_a_deleted_group_cannot_be_charged(world):
    from chalicelib.usecases import groups, merchants

    group = world.two_gateways()
    issue(world)
    settings = merchants.settings(world.deps, world.merchant_id)
    merchants.save_settings(world.deps, world.admin, replace(settings, default=None))
    groups.delete(world.deps, world.admin, group.group_id)
    with pytest.raises(Refused, match="삭제"):
        again(world)


def test_bad_credentials_are_no_card_decline(world):
    toss = world.channel("tosspayments", credentials={"secret_key": "test_sk_wrong0000000000000000000"})
    world.group([(toss, 100)])
    payment = onetime(world)
    assert payment.state is State.FAILED
    assert payment.attempt.reason.value == "channel_rejected"


class DyingStore:
    """A store whose n-th commit kills the process: before it is carried out, or right after."""

    def __init__(self, inner, nth, after):
        self.inner, self.nth, self.after, self.count = inner, nth, after, 0

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def commit(self, *changes):
        self.count += 1
        if self.count != self.nth:
            return self.inner.commit(*changes)
        if self.after:
            self.inner.commit(*changes)
        raise SystemExit("killed")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("fault", [None, "reply_lost", "http_500"])
def test_a_process_that_dies_between_claim_and_record_loses_nothing(world, nth, after, fault):
    world.two_gateways((100, 0))
    if fault:
        world.sandboxes["tosspayments"].fail("charge", fault)
    dying = replace(world.deps, store=DyingStore(world.store, nth, after))
    with pytest.raises(SystemExit):
        charges.charge_card(dying, world.merchant_id, request(), CARD, Target())
    before = len(world.captured())
    world.run_to_quiet()
    order = world.store.load(Ref(Order, (world.merchant_id, "order-0001")))
    assert len(world.captured()) == before <= 1
    if order is None:
        assert before == 0
        return
    payment = lookups.by_imp_uid(world.deps, world.merchant_id, order.imp_uids[-1])
    assert payment.state is (State.PAID if before else State.FAILED)


def test_a_result_that_cannot_be_stored_is_told_as_ready(world):
    from chalicelib.ports import StoreUnavailable

    class Failing(DyingStore):
        def commit(self, *changes):
            self.count += 1
            if self.count == 2:
                raise StoreUnavailable("down")
            return self.inner.commit(*changes)

    world.two_gateways()
    deps = replace(world.deps, store=Failing(world.store, 0, False))
    payment = charges.charge_card(deps, world.merchant_id, request(), CARD, Target())
    assert payment.v1_status == "ready"
    world.run_to_quiet()
    assert lookups.by_imp_uid(world.deps, world.merchant_id, payment.imp_uid).state is State.PAID
    assert len(world.captured()) == 1


def test_two_at_once_is_one_charge(world):
    from concurrent.futures import ThreadPoolExecutor

    world.two_gateways()

    def one(_):
        try:
            return onetime(world).state
        except (Refused, TryAgain):
            return None

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(one, range(8)))
    assert results.count(State.PAID) == 1
    assert len(world.captured()) == 1


def test_no_card_data_is_stored(world):
    world.two_gateways()
    issue(world)
    again(world)
    onetime(world, "order-2")
    onetime(world, "order-3", card=NO_FUNDS)
    stored = world.store.texts()
    for secret in (CARD.number, NO_FUNDS.number, "880101", "2030-12", "203012", world.merchant.imp_secret, "test_sk_"):
        assert secret not in stored
