"""/cards, /banks, /users/pg."""

import pytest

from chalicelib.domain import institutions
from chalicelib.gateways import nice_v2, tosspayments


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/cards/361", "BC카드"),
        ("/cards/041", "우리카드"),
        ("/banks/004", "KB국민은행"),
        ("/banks/090", "카카오뱅크"),
        ("/banks/264", "키움증권"),
    ],
)
def test_a_code_has_a_name(api, path, name):
    status, answer = api.get(path)
    assert (status, answer["code"], answer["message"]) == (200, 0, None)
    assert answer["response"] == {"code": path[-3:], "name": name}


@pytest.mark.parametrize("path", ["/cards/999", "/cards/41", "/banks/ABC", "/banks/0%E2%82%AC4", "/cards/x/"])
def test_an_unknown_code_is_not_found(api, path):
    status, answer = api.get(path)
    assert (status, answer["code"], answer["response"]) == (404, 1, None)


@pytest.mark.parametrize(("path", "names"), [("/cards", institutions.CARDS), ("/banks", institutions.BANKS)])
def test_lists_show_every_code(api, path, names):
    _, answer = api.get(path)
    assert {entry["code"]: entry["name"] for entry in answer["response"]} == names
    assert all(len(code) == 3 and code.isdigit() and name for code, name in names.items())
    assert len(set(names.values())) == len(names)


def test_what_gateways_call_a_card_has_a_name_here():
    codes = {*tosspayments.CARD_CODES.values(), *nice_v2.CARD_CODES.values()}
    assert codes <= institutions.CARDS.keys()


def test_users_pg_shows_the_merchants_channels_and_no_credentials(world, api):
    toss = world.channel("tosspayments", name="토스 메인")
    nice = world.channel("nice_v2", environment="live", credentials={"client_id": "c" * 32, "secret_key": "s" * 32})
    _, answer = api.get("/users/pg")
    assert answer["response"] == [
        {
            "pg_provider": "tosspayments",
            "pg_id": "mid_tosspayments",
            "sandbox": True,
            "type": "api_payment",
            "channel_name": "토스 메인",
            "channel_key": toss,
        },
        {
            "pg_provider": "nice_v2",
            "pg_id": "mid_nice_v2",
            "sandbox": False,
            "type": "api_payment",
            "channel_name": "nice_v2",
            "channel_key": nice,
        },
    ]


def test_users_pg_of_a_new_merchant_is_empty(api):
    assert api.get("/users/pg") == (200, {"code": 0, "message": None, "response": []})
