"""getToken's life-cycle and the header forms, as V1's clients use them."""

import pytest


def ask(api, merchant):
    status, body = api.post("/users/getToken", imp_key=merchant.imp_key, imp_secret=merchant.imp_secret)
    assert status == 200, body
    return body["response"]


def works(api, token, form="{}"):
    status, body = api.send("GET", "/payments/imp_000000000000", headers={"Authorization": form.format(token)})
    assert status in (401, 404)
    return status == 404


def test_a_token_lives_thirty_minutes_and_is_the_same_until_then(api, world):
    first = ask(api, world.merchant)
    assert first["expired_at"] - first["now"] == 30 * 60
    assert len(first["access_token"]) == 40
    world.clock.advance(minutes=10)
    second = ask(api, world.merchant)
    assert second["access_token"] == first["access_token"]
    assert second["expired_at"] == first["expired_at"]
    world.clock.advance(minutes=20, seconds=1)
    assert not works(api, first["access_token"])
    third = ask(api, world.merchant)
    assert third["access_token"] != first["access_token"]
    assert third["expired_at"] - third["now"] == 30 * 60


def test_in_its_last_minute_it_is_pushed_by_five(api, world):
    first = ask(api, world.merchant)
    world.clock.advance(minutes=29, seconds=30)
    second = ask(api, world.merchant)
    assert second["access_token"] == first["access_token"]
    assert second["expired_at"] == first["expired_at"] + 300
    world.clock.advance(minutes=5)
    assert works(api, first["access_token"])
    world.clock.advance(seconds=31)
    assert not works(api, first["access_token"])


def test_checking_a_token_reads_nothing(api, world):
    token = ask(api, world.merchant)["access_token"]
    world.store.calls.clear()
    api.send("POST", "/payments/cancel", b"{}", {"Authorization": token})
    assert world.store.calls == []


def test_get_token_takes_at_most_two_calls(api, world):
    for wait in (0, 60, 29 * 60 - 30, 3600):
        world.clock.advance(seconds=wait)
        world.store.calls.clear()
        ask(api, world.merchant)
        assert len(world.store.calls) <= 2


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}", "Basic {}", "  {} "])
def test_authorization_header_forms(api, world, form):
    assert works(api, api.token, form)


def test_old_clients_header(api):
    status, _ = api.send("GET", "/payments/imp_000000000000", headers={"X-ImpTokenHeader": api.token})
    assert status == 404


@pytest.mark.parametrize("token", ["", "x", "0" * 40, "g" * 40, "f" * 39, "ff" * 20, "한" * 40])
def test_bad_tokens_are_401_in_the_envelope(api, token):
    status, body = api.send("GET", "/payments/imp_000000000000", headers={"Authorization": token})
    assert status == 401
    assert body["code"] != 0
    assert body["response"] is None


def test_every_changed_bit_of_a_token_is_noticed(api):
    for n in range(40):
        digit = "0" if api.token[n] != "0" else "1"
        status, _ = api.send(
            "GET", "/payments/imp_000000000000", headers={"Authorization": api.token[:n] + digit + api.token[n + 1 :]}
        )
        assert status == 401


def test_wrong_and_missing_credentials(api, world):
    status, body = api.post("/users/getToken", imp_key=world.merchant.imp_key, imp_secret="wrong")
    assert (status, body["response"]) == (401, None)
    status, body = api.post("/users/getToken", imp_key="9" * 16, imp_secret="x")
    assert status == 401
    status, body = api.post("/users/getToken", imp_key=world.merchant.imp_key)
    assert status == 400
    assert "imp_key, imp_secret 파라메터가 누락되었습니다." in body["message"]


def test_form_login(api, world):
    status, body = api.form(
        "/users/getToken", {"imp_key": world.merchant.imp_key, "imp_secret": world.merchant.imp_secret}
    )
    assert (status, body["code"]) == (200, 0)


def test_one_merchant_cannot_see_anothers_payment(api, world):
    from chalicelib.usecases import merchants
    from tests.support.api import CARD, Api

    world.two_gateways()
    _, body = api.post("/subscribe/payments/onetime", CARD, merchant_uid="o1", amount=1000)
    imp_uid = body["response"]["imp_uid"]
    stranger = Api(world.deps).login(merchants.create(world.deps, "other"))
    assert stranger.get(f"/payments/{imp_uid}")[0] == 404
    assert stranger.get("/payments/find/o1")[0] == 404
    assert stranger.post("/payments/cancel", imp_uid=imp_uid)[1]["message"] == "취소할 결제건이 존재하지 않습니다."
    assert api.get(f"/payments/{imp_uid}")[0] == 200
