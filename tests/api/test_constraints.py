"""A request that a channel cannot take excludes it before the draw, with the reason in the decision; over real adapters."""

import pytest

from tests.support.api import CARD

PICKY = ("ksnet", "nice_v2", "paymentwall", "paypal_v2", "smartro_v2", "tosspayments")
FULL = {
    "name": "Chair", "buyer_name": "Gildong Hong", "buyer_email": "gildong@shop.kr", "buyer_tel": "010-1234-5678",
    "product_type": "real", "browser_ip": "203.0.113.7", "cvc": "123",
}  # fmt: skip

pytestmark = pytest.mark.gateways(*PICKY)


@pytest.fixture
def group(world):
    """group("ksnet", "toss..."): the default group of just these."""

    def make(*providers, failover="off"):
        share = 100 // len(providers)
        weights = [share] * (len(providers) - 1) + [100 - share * (len(providers) - 1)]
        world.group([(world.channel(name), weight) for name, weight in zip(providers, weights, strict=True)])

    return make


def onetime(api, uid="order0001", amount=8900, **fields):
    return api.post("/subscribe/payments/onetime", {**CARD, **FULL, **fields}, merchant_uid=uid, amount=amount)[1]


def excluded(api, body):
    """provider -> why it was left out, from the decision behind a payment."""
    imp_uid = body["response"]["imp_uid"]
    decision = api.get(f"/admin/payments/{imp_uid}")[1]["attempts"][0]["decision"]
    return {entry["pg_provider"]: entry["message"] for entry in decision["exclusions"]}


def test_won_leaves_paypal_out(api, group):
    group("paypal_v2", "tosspayments")
    for n in range(6):
        body = onetime(api, f"m{n}")
        assert body["response"]["pg_provider"] == "tosspayments"
    assert excluded(api, body)["paypal_v2"].startswith("currency: ")


def test_dollars_leave_the_others_out(api, group):
    group("paypal_v2", "tosspayments", "nice_v2")
    body = onetime(api, amount=10.5, currency="USD")
    assert (body["response"]["status"], body["response"]["pg_provider"]) == ("paid", "paypal_v2")
    assert (body["response"]["amount"], body["response"]["currency"]) == (10.5, "USD")
    assert set(excluded(api, body)) == {"tosspayments", "nice_v2"}


def test_a_field_that_one_gateway_wants_leaves_it_out(api, group):
    group("paymentwall", "ksnet", "tosspayments")
    body = onetime(api, "m1", buyer_email=None, product_type=None)
    assert body["response"]["pg_provider"] == "tosspayments"
    why = excluded(api, body)
    assert "buyer_email: " in why["paymentwall"]
    assert "product_type: " in why["ksnet"]
    kept = {onetime(api, f"n{n}")["response"]["pg_provider"] for n in range(20)}
    assert kept == {"paymentwall", "ksnet", "tosspayments"}


def test_a_name_that_is_not_first_and_last_leaves_paymentwall_out(api, group):
    group("paymentwall", "tosspayments")
    body = onetime(api, buyer_name="홍길동")
    assert "buyer_name: " in excluded(api, body)["paymentwall"]


def test_if_none_is_left_each_is_named_with_its_field(api, group, world):
    group("paymentwall", "ksnet")
    body = onetime(api, buyer_email=None, product_type=None)
    assert (body["code"], body["response"]) == (1, None)
    for part in ("paymentwall", "buyer_email: ", "ksnet", "product_type: "):
        assert part in body["message"]
    assert all(box.transactions() == [] for box in world.sandboxes.values())


def test_a_hyphen_in_the_order_leaves_smartro_out(api, world, group):
    """Its keys come from its window, so one is put in place of it here."""
    group("smartro_v2", "tosspayments")
    give_window_key(world, api, "smartro_v2", "c1")
    plain = [again(api, f"order{n}")["response"]["pg_provider"] for n in range(20)]
    assert set(plain) == {"smartro_v2", "tosspayments"}
    body = again(api, "order-1")
    assert body["response"]["pg_provider"] == "tosspayments"
    assert excluded(api, body)["smartro_v2"].startswith("merchant_uid: ")


def again(api, uid):
    fields = {name: FULL[name] for name in ("name", "buyer_name", "buyer_email", "buyer_tel")}
    return api.post("/subscribe/payments/again", fields, customer_uid="c1", merchant_uid=uid, amount=8900)[1]


def give_window_key(world, api, provider, customer_uid):
    """The customer's key, with a further channel's that the gateway's window would have made."""
    import importlib
    from dataclasses import replace

    from chalicelib.domain.charging import CardSummary
    from chalicelib.domain.keys import ChannelKey
    from chalicelib.usecases import billing_keys
    from chalicelib.usecases.charges import load_routing
    from chalicelib.usecases.vault import seal_key

    assert api.post(f"/subscribe/customers/{customer_uid}", CARD)[1]["code"] == 0
    key = billing_keys.find(world.deps, world.merchant_id, customer_uid)
    routing, channel_key = load_routing(world.deps, world.merchant_id), world.channels[provider]
    simulator = importlib.import_module(f"infra.sandbox.{provider}")
    secret = simulator.window_key(world.sandboxes[provider], "4242424242424242")
    sealed, now = seal_key(world.deps, routing, customer_uid, channel_key, secret), world.clock.now()
    made = ChannelKey(channel_key, provider, f"mid_{provider}", sealed, CardSummary(), now, now)
    world.store.commit(replace(key, channels={**key.channels, channel_key: made}))
