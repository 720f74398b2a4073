"""Billing keys in the console: who holds one, who does not and why, where a charge goes, and deleting."""

import re

import pytest

from chalicelib import container
from chalicelib.domain.accounts import Role
from chalicelib.domain.charging import Buyer
from chalicelib.domain.groups import Failover, GroupEntry
from chalicelib.domain.keys import BillingKey
from chalicelib.ports import Ref
from chalicelib.usecases import billing_keys, by_hand, groups, on_record
from chalicelib.usecases.choosing import Target
from tests.support.api import CARD as API_CARD
from tests.support.console import Console
from tests.support.world import CARD

BUYER = Buyer("홍길동", "gildong@gmail.com", "010-1234-5678")


@pytest.fixture
def group(world):
    yield world.two_gateways((60, 40))
    container.install(None)


def issue(world, uid="c1", target=None):
    wanted = billing_keys.Issue(uid, CARD, target or Target(), customer=BUYER)
    return billing_keys.issue(world.deps, world.merchant_id, wanted)


def enter(world, role=Role.OPERATOR):
    return Console(world, role, language="en")


def load(world, uid="c1"):
    return world.store.load(Ref(BillingKey, (world.merchant_id, uid)))


def seen(console):
    """The hidden fields of the form that deletes c1, as it is now."""
    page = console.get("keys/delete", customer_uid="c1")
    return dict(re.findall(r'<input type="hidden" name="(customer_uid|seen)" value="([^"]*)"', page.text))


def test_a_key_is_found_by_its_customer_uid(world, group):
    issue(world)
    console = enter(world)
    assert console.get("keys").status == 200
    assert console.get("keys", customer_uid="c1").location == "/console/keys/key?customer_uid=c1"
    unknown = console.get("keys", customer_uid="<b>c2")
    assert (unknown.status, "No such billing key" in unknown.words, "<b>c2" in unknown.text) == (200, True, False)
    assert console.get("keys/key", customer_uid="c2").status == 404
    assert console.get("keys/key").status == 404


def test_a_super_key_says_who_holds_one_and_where_charges_go(world, group):
    issue(world)
    page = enter(world).get("keys/key", customer_uid="c1")
    assert page.status == 200
    for shown in (
        "Super key",
        "tosspayments",
        "nice_v2",
        "60.0 %",
        "40.0 %",
        "held",
        "424242",
        "홍*동",
        "010-****-5678",
    ):
        assert shown in page.words, shown
    assert all(hidden not in page.text for hidden in ("홍길동", "gildong@", "4242424242424242"))
    assert "payments?customer_uid=c1" in page.text
    assert "schedules?customer_uid=c1" in page.text


def test_why_a_channel_holds_none(world, group):
    world.sandboxes["nice_v2"].fail("issue", "decline")
    issue(world)
    added = world.channel("html5_inicis")
    entries = [(world.channels["tosspayments"], 50), (world.channels["nice_v2"], 30), (added, 20)]
    content = groups.GroupContent("default", Failover.UNSENT, tuple(GroupEntry(*e) for e in entries))
    groups.update(world.deps, world.admin, group.group_id, content)
    page = enter(world).get("keys/key", customer_uid="c1")
    failed = load(world).failed[0]
    assert "failed at issue" in page.words
    assert failed.pg_message in page.words
    assert "Added to the group after the key was issued" in page.words
    assert "100.0 %" in page.words


def test_an_ordinary_key(world, group):
    issue(world, target=Target(channel_key=world.channels["nice_v2"]))
    page = enter(world).get("keys/key", customer_uid="c1")
    assert ("Ordinary key" in page.words, "Share now" in page.words) == (True, False)


def test_a_key_whose_group_is_gone(world, group):
    issue(
        world, target=Target(group_id=world.group([(world.channels["nice_v2"], 100)], "other", default=False).group_id)
    )
    key = load(world)
    groups.delete(world.deps, world.admin, key.group_id)
    page = enter(world).get("keys/key", customer_uid="c1")
    assert (page.status, "Its channel group was deleted" in page.words) == (200, True)


def test_a_key_that_no_channel_can_charge_now(world, group):
    issue(world)
    off = tuple(GroupEntry(e.channel_key, e.weight, enabled=False) for e in group.current.entries)
    groups.update(world.deps, world.admin, group.group_id, groups.GroupContent("default", Failover.UNSENT, off))
    page = enter(world).get("keys/key", customer_uid="c1")
    assert "No channel can charge this key now" in page.words
    assert "disabled in the group" in page.words


def test_deleting_warns_asks_for_the_name_and_leaves_one(world, api, group):
    issue(world)
    at = int(world.clock.now().timestamp()) + 600
    entry = {"merchant_uid": "later-1", "schedule_at": at, "amount": 8900, "name": "n"}
    api.post("/subscribe/payments/schedule", customer_uid="c1", schedules=[entry])
    console = enter(world)
    assert "later-1" in console.get("keys/key", customer_uid="c1").words
    assert "1 reserved payments" in console.get("keys/delete", customer_uid="c1").words
    fields = {**seen(console), "reason": "the customer asked"}
    wrong = console.post("keys/delete", fields, typed="c2")
    assert (wrong.status, "type the customer_uid" in wrong.words) == (400, True)
    blank = console.post("keys/delete", {**fields, "reason": " "}, typed="c1")
    assert (blank.status, load(world) is not None) == (400, True)
    done = console.post("keys/delete", fields, typed="c1")
    assert done.location == "/console/keys?done=key_deleted"
    assert load(world) is None
    [entry] = by_hand.history(world.deps, world.merchant_id, on_record.key_subject("c1"))
    assert (entry.action, entry.by) == ("billing_key.deleted", f"operator@{world.merchant_id}.kr")
    assert entry.after == {"reason": "the customer asked"}
    assert console.post("keys/delete", fields, typed="c1").status == 404
    assert (
        api.post("/subscribe/payments/again", customer_uid="c1", merchant_uid="m", amount=1, name="n")[1]["code"] != 0
    )


def test_a_key_that_was_issued_anew_meanwhile_is_not_the_one_to_delete(world, group):
    issue(world)
    console = enter(world)
    fields = {**seen(console), "typed": "c1", "reason": "x"}
    issue(world)
    page = console.post("keys/delete", fields)
    assert (page.status, "issued anew meanwhile" in page.words, load(world) is not None) == (409, True, True)
    assert by_hand.history(world.deps, world.merchant_id, on_record.key_subject("c1")) == ()
    assert console.post("keys/delete", {**fields, **seen(console)}).status == 303


def test_a_gateway_that_does_not_confirm_is_told(world, group):
    issue(world)
    for box in world.sandboxes.values():
        box.fail("delete", "http_500", times=5)
    console = enter(world)
    page = console.post("keys/delete", seen(console), typed="c1", reason="x")
    assert page.location.startswith("/console/keys?done=key_deleted")
    assert load(world) is None


def test_viewers_delete_nothing(world, group):
    issue(world)
    console = enter(world, Role.VIEWER)
    assert "keys/delete" not in console.get("keys/key", customer_uid="c1").text
    assert console.get("keys/delete", customer_uid="c1").status == 403
    assert console.post("keys/delete", customer_uid="c1", typed="c1", reason="x").status == 403
    assert load(world) is not None


def test_nothing_secret_is_on_the_page(world, api, group):
    api.post("/subscribe/customers/c1", API_CARD)
    page = enter(world).get("keys/key", customer_uid="c1")
    key = load(world)
    for held in key.channels.values():
        assert held.sealed_secret not in page.text
    assert "billing" not in page.words.lower().replace("billing key", "")
