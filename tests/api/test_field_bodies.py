"""Bodies as V1's clients send them, well-formed or not: each has one decided answer, and a refused one moves no money."""

import calendar
import json
import unicodedata
from dataclasses import replace
from urllib.parse import quote

import pytest

from chalicelib.gateways.webhook_sender import WebhookSender
from infra.sandbox import run
from tests.support.api import CARD, Api
from tests.support.world import World

ONETIME = "/subscribe/payments/onetime"
BOOK = "/subscribe/payments/schedule"
JSON = {"Content-Type": "application/json"}
NFC = unicodedata.normalize("NFC", "한글")
NFD = unicodedata.normalize("NFD", "한글")
OK = None
"""In the tables below: accepted. Anything else is the field that the refusal names."""


@pytest.fixture(scope="module")
def service():
    """One service for the whole table: a case that leaves something behind fails those after it."""
    from chalicelib import container

    with run() as boxes:
        world = World(boxes)
        world.two_gateways()
        deps = replace(world.deps, sender=WebhookSender())  # the real judgement of notice_url
        api = Api(deps, admin_token=world.merchant.admin_token).login(world.merchant)
        assert api.post("/subscribe/customers/customer", CARD)[1]["code"] == 0
        yield world, api
        container.install(None)


def send(api, path, fields, literals):
    """literals: field -> JSON text, for what json.dumps would not write like that."""
    text = json.dumps(fields | {name: f"@{name}@" for name in literals}, ensure_ascii=False)
    for name, literal in literals.items():
        text = text.replace(f'"@{name}@"', literal)
    return api.send("POST", path, text.encode("utf-8", "surrogatepass"), JSON)


def books(world):
    return {name: box.transactions() for name, box in world.sandboxes.items()}


def charge(service, fields=None, **literals):
    """One charge that is good but for what is given. Returns the payment, or the field that a refusal named."""
    world, api = service
    good = {**CARD, "merchant_uid": f"order-{len(world.store.items)}", "amount": 1000, "name": "이용권"}
    before = books(world), dict(world.store.items)
    status, answer = send(api, ONETIME, good | (fields or {}), literals)
    if answer["code"] == 0:
        payment = answer["response"]
        assert (status, payment["status"]) == (200, "paid"), answer
        assert api.get(f"/payments/{payment['imp_uid']}")[1]["response"] == payment
        return payment
    assert (books(world), world.store.items) == before, "a refused request left something behind"
    assert (status, answer["code"]) in ((400, -1), (200, -1)), answer
    assert answer["field"] in answer["message"]
    assert any("가" <= char <= "힣" for char in answer["message"])
    return answer["field"]


# --- amounts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "outcome"),
    [
        ("1000", 1000),
        ("1e3", 1000),
        ("1000.0", 1000),
        ('"1000"', 1000),
        ('"1000.00"', 1000),
        ('" 1000 "', 1000),
        ('{"total": 1000}', 1000),
        ('{"total": "1000"}', 1000),
        ('{"total": 1000, "taxFree": 0}', 1000),
        ("9999999999999", 9_999_999_999_999),
        ("0", "amount"),
        ("-0", "amount"),
        ("-1000", "amount"),
        ("0.1", "amount"),
        ("1000.4", "amount"),
        ("10000000000000", "amount"),
        ("1000000000000000", "amount"),
        ("1000000000000001", "amount"),
        ("1e15", "amount"),
        ('"1,000"', "amount"),
        ('"１０００"', "amount"),
        ('"٣"', "amount"),
        ('"1e3"', "amount"),
        ('"0x3e8"', "amount"),
        ('"+1000"', "amount"),
        ('"1000원"', "amount"),
        ('""', "amount"),
        ("true", "amount"),
        ("null", "amount"),
        ("[]", "amount"),
        ("[1000]", "amount"),
        ("{}", "amount"),
        ('{"total": {"total": 1000}}', "amount"),
        ('{"total": true}', "amount"),
        ("NaN", "body"),
        ("Infinity", "body"),
        ("01000", "body"),
        ("1_000", "body"),
    ],
)
def test_amounts(service, literal, outcome):
    paid = charge(service, amount=literal)
    assert (paid["amount"] if isinstance(paid, dict) else paid) == outcome


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"tax_free": 1000}, OK),
        ({"tax_free": "500", "vat_amount": 500}, OK),
        ({"vat_amount": ""}, OK),
        ({"vat": 91}, OK),
        ({"tax_free": 1001}, "tax_free"),
        ({"tax_free": -1}, "tax_free"),
        ({"vat_amount": 1001}, "vat_amount"),
        ({"tax_free": 500, "vat_amount": 501}, "vat_amount"),
        ({"currency": "krw"}, OK),
        ({"currency": ""}, OK),
        ({"currency": None}, OK),
        ({"currency": "KRW "}, "currency"),
        ({"currency": "WON"}, "currency"),
        ({"currency": 410}, "currency"),
        ({"currency": "USD", "amount": 10.555}, "amount"),
        ({"currency": "USD", "amount": 10**12}, "amount"),
        ({"card_quota": "00"}, OK),
        ({"card_quota": 1}, OK),
        ({"card_quota": ""}, OK),
        ({"card_quota": "3", "amount": 50_000}, OK),
        ({"card_quota": "03", "amount": 50_000}, OK),
        ({"card_quota": "3"}, "card_quota"),
        ({"card_quota": 37, "amount": 50_000}, "card_quota"),
        ({"card_quota": -1}, "card_quota"),
        ({"card_quota": 2.5}, "card_quota"),
        ({"card_quota": "일시불"}, "card_quota"),
        ({"product_count": "2"}, OK),
        ({"product_count": 0}, "product_count"),
        ({"use_card_point": "true"}, OK),
        ({"use_card_point": "maybe"}, "use_card_point"),
    ],
)
def test_what_goes_with_an_amount(service, fields, outcome):
    paid = charge(service, fields)
    assert (OK if isinstance(paid, dict) else paid) == outcome


def test_a_currency_no_channel_takes_is_refused_by_each_channel(service):
    world, api = service
    before = books(world)
    _, answer = api.post(ONETIME, CARD, merchant_uid="usd", amount="10.50", currency="usd")
    assert (answer["code"], books(world)) == (1, before)
    assert "tosspayments: currency" in answer["message"]
    assert "nice_v2: currency" in answer["message"]


# --- ids --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "uid",
    [
        "a b",
        "a/b",
        "a%2Fb",
        "100%",
        "a?b#c&d=e+f",
        "주문 2026/01",
        "가" * 40,
        "😀" * 40,
        " leading",
        "trailing ",
        NFC,
        NFD,
        "zero\u200bwidth",
        "x" * 40,
    ],
)
def test_an_order_id_comes_back_to_the_character(service, uid):
    _, api = service
    paid = charge(service, {"merchant_uid": uid})
    assert paid["merchant_uid"] == uid
    assert api.get(f"/payments/find/{quote(uid, safe='')}")[1]["response"] == paid


def test_composed_and_decomposed_hangul_are_two_ids(service):
    _, api = service
    composed, decomposed = (charge(service, {"merchant_uid": f"{uid}-둘"}) for uid in (NFC, NFD))
    assert composed["imp_uid"] != decomposed["imp_uid"]


@pytest.mark.parametrize(
    ("literal", "outcome"),
    [
        ("20260101000001", "20260101000001"),
        ('"\\ud83d\\ude00-escaped"', "😀-escaped"),
        (json.dumps("가" * 41), "merchant_uid"),
        (json.dumps("😀" * 41), "merchant_uid"),
        (json.dumps("x" * 41), "merchant_uid"),
        ('"a\\tb"', "merchant_uid"),
        ('"a\\n"', "merchant_uid"),
        ('"a\\u007f"', "merchant_uid"),
        ('"a\\u0000"', "merchant_uid"),
        ('"a\\ud800"', "merchant_uid"),
        ('"a\tb"', "body"),
        ('" "', "merchant_uid"),
        ('"\u3000"', "merchant_uid"),
        ('""', "merchant_uid"),
        ("null", "merchant_uid"),
        ("true", "merchant_uid"),
        ('["a"]', "merchant_uid"),
        ("{}", "merchant_uid"),
    ],
)
def test_order_ids_in_bodies(service, literal, outcome):
    paid = charge(service, merchant_uid=literal)
    assert (paid["merchant_uid"] if isinstance(paid, dict) else paid) == outcome


@pytest.mark.parametrize(
    ("segment", "outcome"),
    [
        ("a%20b", "a b"),
        ("a%2Fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        (quote("고객-1"), "고객-1"),
        (quote("😀" * 80), "😀" * 80),
        (quote("가" * 81), "customer_uid"),
        ("%20", "customer_uid"),
        ("a%09b", "customer_uid"),
        ("a%0A", "customer_uid"),
        ("a%00", "customer_uid"),
        ("%FF", "customer_uid"),
    ],
)
def test_customer_ids_in_paths(service, segment, outcome):
    world, api = service
    before = dict(world.store.items)
    status, answer = api.post(f"/subscribe/customers/{segment}", CARD)
    if answer["code"] == 0:
        assert answer["response"]["customer_uid"] == outcome
        assert api.get(f"/subscribe/customers/{segment}")[1]["response"] == answer["response"]
    else:
        assert (status, answer["code"], answer["field"], world.store.items) == (400, -1, outcome, before)


# --- cards ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"card_number": "4242424242424242"}, OK),
        ({"card_number": "4242 4242 4242 4242"}, OK),
        ({"card_number": " 4242-4242-4242-4242 "}, OK),
        ({"card_number": 4242424242424242}, OK),
        ({"card_number": "378282246310005"}, OK),
        ({"card_number": "3782-822463-10005"}, OK),
        ({"card_number": "36148010000000"}, OK),
        ({"card_number": "3614-801000-0000"}, OK),
        ({"card_number": "4242-4242-4242-4"}, "card_number"),
        ({"card_number": "4242-4242-4242-4242-1"}, "card_number"),
        ({"card_number": "4242.4242.4242.4242"}, "card_number"),
        ({"card_number": "４２４２-4242-4242-4242"}, "card_number"),
        ({"card_number": ""}, "card_number"),
        ({"card_number": ["4242-4242-4242-4242"]}, "card_number"),
        ({"expiry": "2030-12"}, OK),
        ({"expiry": "203012"}, OK),
        ({"expiry": 203012}, OK),
        ({"expiry": "2028-02"}, OK),
        ({"expiry": "12/30"}, "expiry"),
        ({"expiry": "30-12"}, "expiry"),
        ({"expiry": "1230"}, "expiry"),
        ({"expiry": "12/2030"}, "expiry"),
        ({"expiry": "2030-1"}, "expiry"),
        ({"expiry": "2030-13"}, "expiry"),
        ({"expiry": "2028-02-29"}, "expiry"),
        ({"expiry": "2026-10"}, "expiry"),
        ({"expiry": None}, "expiry"),
        ({"birth": "880101"}, OK),
        ({"birth": 880101}, OK),
        ({"birth": "1234567890"}, OK),
        ({"birth": "8801011234567"}, "birth"),
        ({"birth": "880101-1234567"}, "birth"),
        ({"birth": "123-45-67890"}, "birth"),
        ({"birth": "19880101"}, "birth"),
        ({"birth": "８８０１０１"}, "birth"),
        ({"pwd_2digit": "00"}, OK),
        ({"pwd_2digit": "1234"}, "pwd_2digit"),
        ({"pwd_2digit": "**"}, "pwd_2digit"),
        ({"cvc": "123"}, OK),
        ({"cvc": "12"}, "cvc"),
    ],
)
def test_cards(service, fields, outcome):
    world, _ = service
    paid = charge(service, fields)
    assert (OK if isinstance(paid, dict) else paid) == outcome
    assert "8801011234567" not in world.store.texts()
    assert "4242424242424242" not in world.store.texts()


def test_a_card_is_good_until_the_end_of_its_month(service):
    world, _ = service
    now = world.clock.now()
    assert isinstance(charge(service, {"expiry": f"{now:%Y-%m}"}), dict)


# --- texts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"name": "가" * 40}, "가" * 40),
        ({"name": "😀" * 40}, "😀" * 40),
        ({"name": "두\n줄"}, "두\n줄"),
        ({"name": ""}, None),
        ({"name": None}, None),
        ({"buyer_name": "홍길동 😀"}, "홍길동 😀"),
        ({"buyer_tel": "+82 10-1234-5678"}, "+82 10-1234-5678"),
        ({"buyer_tel": 1012345678}, "1012345678"),
        ({"buyer_email": "not an e-mail"}, "not an e-mail"),
        ({"custom_data": {"b": [1, "가"], "a": None}}, '{"b": [1, "가"], "a": null}'),
        ({"custom_data": [1, 2.5]}, "[1, 2.5]"),
        ({"custom_data": 5}, "5"),
        ({"custom_data": True}, "true"),
        ({"custom_data": "{not json"}, "{not json"),
        ({"custom_data": "가" * 8192}, "가" * 8192),
        ({"custom_data": ""}, ""),
    ],
)
def test_texts_come_back_as_they_were_sent(service, fields, outcome):
    (name,) = fields
    assert charge(service, fields)[name] == outcome


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "😀" * 41}, "name"),
        ({"buyer_name": "가" * 17}, "buyer_name"),
        ({"buyer_tel": "1" * 17}, "buyer_tel"),
        ({"buyer_name": {"first": "길동"}}, "buyer_name"),
        ({"custom_data": "x" * 8193}, "custom_data"),
        ({"custom_data": {"a": "x" * 8192}}, "custom_data"),
        ({"browser_ip": "x" * 65}, "browser_ip"),
        ({"notice_url": "nope"}, "notice_url"),
        ({"notice_url": "http://localhost/hook"}, "notice_url"),
        ({"notice_url": "http://127.0.0.1:8000/hook"}, "notice_url"),
        ({"notice_url": "http://169.254.169.254/"}, "notice_url"),
        ({"notice_url": ["https://shop.example/1", "ftp://shop.example"]}, "notice_url"),
        ({"notice_url": ["https://shop.example/"] * 6}, "notice_url"),
        ({"notice_url": '["https://shop.example/"'}, "notice_url"),
        ({"notice_url": [None]}, "notice_url[0]"),
        ({"notice_url": "[" * 100_000}, "notice_url"),
        ({"custom_data": "a\x1bb"}, "custom_data"),
        ({"bypass": "\x01"}, "bypass"),
        ({"notice_url": {"url": "https://shop.example/"}}, "notice_url"),
        ({"notice_url": "https://a b.example/"}, "notice_url"),
    ],
)
def test_texts_that_do_not_fit_are_refused(service, fields, field):
    assert charge(service, fields) == field


@pytest.mark.parametrize(
    ("notice_url", "sent_to"),
    [
        ("https://shop.example/1", ["https://shop.example/1"]),
        (["https://shop.example/1", "https://shop.example/2"], ["https://shop.example/1", "https://shop.example/2"]),
        ('["https://shop.example/1"]', ["https://shop.example/1"]),
        ("https://shop.example/웹훅?a=1", ["https://shop.example/웹훅?a=1"]),
        ([], []),
        ("", []),
        (None, []),
    ],
)
def test_notice_urls(service, notice_url, sent_to):
    world, _ = service
    paid = charge(service, {"notice_url": notice_url})
    from chalicelib.domain.payments import Payment
    from chalicelib.ports import Ref

    stored = world.store.load(Ref(Payment, (world.merchant_id, paid["imp_uid"])))
    assert list(stored.request.notice_urls) == sent_to


# --- schedules --------------------------------------------------------------------------------------------------


def utc(*date):
    return calendar.timegm((*date, 0, 0, 0))


def book(service, schedule_at):
    """Book one payment at the JSON text given. Returns the instant booked, or the field that a refusal named."""
    world, api = service
    uid = f"s-{len(world.store.items)}"
    before = dict(world.store.items)
    fields = {"customer_uid": "customer", "schedules": [{"merchant_uid": uid, "amount": 1000, "schedule_at": "@at@"}]}
    body = json.dumps(fields).replace('"@at@"', schedule_at)
    status, answer = api.send("POST", BOOK, body.encode(), JSON)
    if answer["code"] == 0:
        return answer["response"][0]["schedule_at"]
    assert (status, answer["code"], world.store.items) == (400, -1, before)
    return answer["field"].removeprefix("schedules[0].")


@pytest.mark.parametrize("spelled", ["{}", '"{}"', '" {} "', "{}.0", '"{}.0"'])
def test_the_second_of_a_schedule_in_its_spellings(service, spelled):
    at = int(service[0].clock.now().timestamp()) + 86_400
    assert book(service, spelled.format(at)) == at


@pytest.mark.parametrize(("ahead", "accepted"), [(-86_400, False), (-1, False), (0, False), (1, True), (60, True)])
def test_a_schedule_lies_ahead(service, ahead, accepted):
    at = int(service[0].clock.now().timestamp()) + ahead
    assert book(service, str(at)) == (at if accepted else "schedule_at")


@pytest.mark.parametrize(
    ("literal", "outcome"),
    [
        (str(utc(2028, 2, 29)), utc(2028, 2, 29)),
        (str(utc(2046, 11, 1)), utc(2046, 11, 1)),
        (str(utc(2047, 1, 1)), "schedule_at"),
        (f"{utc(2028, 2, 29)}000", "schedule_at"),
        (f"{utc(2028, 2, 29)}.5", "schedule_at"),
        ('"2028-02-29"', "schedule_at"),
        ('"2028-02-29T00:00:00Z"', "schedule_at"),
        ("0", "schedule_at"),
        ("-1", "schedule_at"),
        ("null", "schedule_at"),
        ('""', "schedule_at"),
        ("true", "schedule_at"),
        ("1e400", "schedule_at"),
        ("9" * 30, "schedule_at"),
        ("NaN", "body"),
    ],
)
def test_the_second_of_a_schedule(service, literal, outcome):
    assert book(service, literal) == outcome


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"schedules": []}, "schedules"),
        ({"schedules": {}}, "schedules"),
        ({"schedules": None}, "schedules"),
        ({"schedules": "[]"}, "schedules"),
        ({"schedules": [None]}, "schedules[0]"),
        ({"schedules": [[]]}, "schedules[0]"),
        ({"customer_uid": ""}, "customer_uid"),
        ({"customer_uid": " "}, "customer_uid"),
        ({"customer_uid": "a\tb"}, "customer_uid"),
    ],
)
def test_schedules_that_are_none(service, fields, field):
    world, api = service
    entry = {"merchant_uid": "none", "amount": 1000, "schedule_at": utc(2028, 1, 1)}
    before = dict(world.store.items)
    status, answer = api.post(BOOK, {"customer_uid": "customer", "schedules": [entry], **fields})
    assert (status, answer["code"], answer["field"], world.store.items) == (400, -1, field, before)


# --- whole bodies -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literals", "field"),
    [
        ({"amount": '1000, "amount": 2000'}, "amount"),
        ({"custom_data": '{"a": 1, "a": 2}'}, "a"),
        ({"custom_data": "[" * 40 + "]" * 40}, "body"),
        ({"custom_data": "[" * 100_000 + "]" * 100_000}, "body"),
        ({"custom_data": json.dumps("x" * 300_000)}, "body"),
        ({"amount": "1000,"}, "body"),
        ({"name": "'quoted'"}, "body"),
    ],
)
def test_bodies_nobody_can_charge(service, literals, field):
    assert charge(service, **literals) == field


# --- cancels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"amount": -1}, "amount"),
        ({"amount": 0.5}, "amount"),
        ({"amount": "1,000"}, "amount"),
        ({"amount": "전액"}, "amount"),
        ({"amount": 1001}, "amount"),
        ({"checksum": "abc"}, "checksum"),
        ({"checksum": 999}, "checksum"),
        ({"reason": "가" * 501}, "reason"),
        ({"enable_webhook": "maybe"}, "enable_webhook"),
        ({"merchant_uid": ["a"]}, "merchant_uid"),
    ],
)
def test_cancels_that_give_nothing_back(service, fields, field):
    world, api = service
    paid = charge(service)
    before = books(world)
    _, answer = api.post("/payments/cancel", {"imp_uid": paid["imp_uid"], **fields})
    assert (answer["code"] != 0, answer["field"], books(world)) == (True, field, before)


@pytest.mark.parametrize(
    ("fields", "given_back"),
    [
        ({}, 1000),
        ({"amount": 0}, 1000),
        ({"amount": "0"}, 1000),
        ({"amount": None}, 1000),
        ({"amount": ""}, 1000),
        ({"amount": "400", "checksum": "1000"}, 400),
        ({"amount": {"total": 400}}, 400),
        ({"amount": 400.0, "checksum": None}, 400),
        ({"extra": {"requester": "customer"}, "enable_webhook": "false"}, 1000),
    ],
)
def test_cancels_in_their_spellings(service, fields, given_back):
    _, api = service
    paid = charge(service)
    _, answer = api.post("/payments/cancel", {"imp_uid": "", "merchant_uid": paid["merchant_uid"], **fields})
    assert (answer["code"], answer["response"]["cancel_amount"]) == (0, given_back)
